cask "tool" do
  arch arm: "arm64", intel: "x86_64"
  os macos: "macos", linux: "linux"

  version "1.2.3"
  sha256 arm:          "3333333333333333333333333333333333333333333333333333333333333333",
         intel:        "4444444444444444444444444444444444444444444444444444444444444444",
         arm64_linux:  "1111111111111111111111111111111111111111111111111111111111111111",
         x86_64_linux: "2222222222222222222222222222222222222222222222222222222222222222"

  url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-#{os}-#{arch}"
  name "Tool"
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"

  binary "tool-#{os}-#{arch}", target: "tool"
end
