cask "tool" do
  version "1.2.3"

  on_arm do
    sha256 "1111111111111111111111111111111111111111111111111111111111111111"
    url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-#{version}-aarch64-apple-darwin.tar.gz"
  end

  on_intel do
    sha256 "3333333333333333333333333333333333333333333333333333333333333333"
    url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-#{version}-x86_64-apple-darwin.tar.gz"
  end

  name "Tool"
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"

  depends_on :macos

  binary "tool"
end
