$ErrorActionPreference = 'Stop'
$toolsDir = Split-Path -Parent $MyInvocation.MyCommand.Definition
$packageArgs = @{
  packageName    = 'tool'
  fileType       = 'msi'
  silentArgs     = '/qn /norestart'
  validExitCodes = @(0, 1641, 3010)
  url64bit       = 'https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool-1.2.3.msi'
  checksum64     = '1111111111111111111111111111111111111111111111111111111111111111'
  checksumType64 = 'sha256'
}
Install-ChocolateyPackage @packageArgs
