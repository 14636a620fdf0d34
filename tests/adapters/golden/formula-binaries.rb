class Tool < Formula
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"
  version "1.2.3"
  license "MIT"

  on_macos do
    on_arm do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-macos-arm64"
      sha256 "3333333333333333333333333333333333333333333333333333333333333333"
    end

    on_intel do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-macos-x86_64"
      sha256 "4444444444444444444444444444444444444444444444444444444444444444"
    end
  end

  on_linux do
    on_arm do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-linux-arm64"
      sha256 "1111111111111111111111111111111111111111111111111111111111111111"
    end

    on_intel do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-linux-x86_64"
      sha256 "2222222222222222222222222222222222222222222222222222222222222222"
    end
  end

  def install
    if OS.mac? && Hardware::CPU.arm?
      bin.install "tool-macos-arm64" => "tool"
    elsif OS.mac? && Hardware::CPU.intel?
      bin.install "tool-macos-x86_64" => "tool"
    elsif OS.linux? && Hardware::CPU.arm?
      bin.install "tool-linux-arm64" => "tool"
    elsif OS.linux? && Hardware::CPU.intel?
      bin.install "tool-linux-x86_64" => "tool"
    end
  end

  test do
    system bin/"tool", "--version"
  end
end
