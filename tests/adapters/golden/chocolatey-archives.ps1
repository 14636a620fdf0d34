$ErrorActionPreference = 'Stop'
$toolsDir = Split-Path -Parent $MyInvocation.MyCommand.Definition
$packageArgs = @{
  packageName    = 'tool'
  unzipLocation  = $toolsDir
  url            = 'https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3-x86.zip'
  checksum       = '2222222222222222222222222222222222222222222222222222222222222222'
  checksumType   = 'sha256'
  url64bit       = 'https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3-x64.zip'
  checksum64     = '1111111111111111111111111111111111111111111111111111111111111111'
  checksumType64 = 'sha256'
}
Install-ChocolateyZipPackage @packageArgs
