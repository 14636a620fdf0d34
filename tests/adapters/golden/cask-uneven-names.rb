cask "tool" do
  version "1.2.3"

  on_macos do
    on_arm do
      sha256 "3333333333333333333333333333333333333333333333333333333333333333"
      url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-macos-arm64"
      binary "tool-macos-arm64", target: "tool"
    end

    on_intel do
      sha256 "4444444444444444444444444444444444444444444444444444444444444444"
      url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-macos-x86_64"
      binary "tool-macos-x86_64", target: "tool"
    end
  end

  on_linux do
    on_arm do
      sha256 "2222222222222222222222222222222222222222222222222222222222222222"
      url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-linux-arm64"
      binary "tool-linux-arm64", target: "tool"
    end

    on_intel do
      sha256 "1111111111111111111111111111111111111111111111111111111111111111"
      url "https://forge.example.invalid/acme/Tool/releases/download/v#{version}/tool-linux-amd64"
      binary "tool-linux-amd64", target: "tool"
    end
  end

  name "Tool"
  desc "Does one thing"
  homepage "https://tool.example.invalid/#start"
end
