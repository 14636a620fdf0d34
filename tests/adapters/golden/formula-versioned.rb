class FooBar2AT12 < Formula
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"
  version "1.2.3-rc.1"
  license "MIT"

  depends_on :macos

  on_arm do
    url "https://forge.example.invalid/acme/Tool/releases/download/tools%2Fv1.2.3-rc.1/tool-1.2.3-rc.1-aarch64-apple-darwin.tar.gz"
    sha256 "1111111111111111111111111111111111111111111111111111111111111111"
  end

  on_intel do
    url "https://forge.example.invalid/acme/Tool/releases/download/tools%2Fv1.2.3-rc.1/tool-1.2.3-rc.1-x86_64-apple-darwin.tar.gz"
    sha256 "3333333333333333333333333333333333333333333333333333333333333333"
  end

  def install
    bin.install "foo"
  end

  test do
    system bin/"foo", "--version"
  end
end
