cask "tool" do
  version "1.2.3"

  sha256 "4444444444444444444444444444444444444444444444444444444444444444"
  url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-#{version}-x86_64-unknown-linux-gnu.tar.gz"

  name "Tool"
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"

  depends_on :linux
  depends_on arch: :x86_64

  binary "t"
end
