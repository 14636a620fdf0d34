class Tool < Formula
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"
  version "1.2.3"
  license "MIT"

  depends_on :macos
  depends_on arch: :arm64

  url "https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-macos-arm64"
  sha256 "3333333333333333333333333333333333333333333333333333333333333333"

  def install
    bin.install "tool-macos-arm64" => "tool"
  end

  test do
    system bin/"tool", "--version"
  end
end
