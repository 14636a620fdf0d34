cask "tool" do
  arch arm: "aarch64", intel: "x86_64"
  os macos: "apple-darwin", linux: "unknown-linux-gnu"

  version "1.2.3"
  sha256 arm:          "1111111111111111111111111111111111111111111111111111111111111111",
         intel:        "3333333333333333333333333333333333333333333333333333333333333333",
         arm64_linux:  "2222222222222222222222222222222222222222222222222222222222222222",
         x86_64_linux: "4444444444444444444444444444444444444444444444444444444444444444"

  url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-#{version}-#{arch}-#{os}.tar.gz"
  name "Tool"
  desc "\"; system(\"id\") # \#{`id`} \#$0 \#@a \\"
  homepage "https://x.example.invalid/\"\#{exit}"

  binary "tool"
end
