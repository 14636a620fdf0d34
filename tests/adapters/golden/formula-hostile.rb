class Tool < Formula
  desc "\"; system(\"id\") # \#{`id`} \#$0 \#@a \\"
  homepage "https://x.example.invalid/\"\#{exit}"
  version "1.2.3"
  license "MIT"

  on_macos do
    on_arm do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3-aarch64-apple-darwin.tar.gz"
      sha256 "1111111111111111111111111111111111111111111111111111111111111111"
    end

    on_intel do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3-x86_64-apple-darwin.tar.gz"
      sha256 "3333333333333333333333333333333333333333333333333333333333333333"
    end
  end

  on_linux do
    on_arm do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "2222222222222222222222222222222222222222222222222222222222222222"
    end

    on_intel do
      url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "4444444444444444444444444444444444444444444444444444444444444444"
    end
  end

  def install
    bin.install "tool"
  end

  test do
    system bin/"tool", "--version"
  end
end
