$ErrorActionPreference = 'Stop'
$toolsDir = Split-Path -Parent $MyInvocation.MyCommand.Definition
$packageArgs = @{
  packageName    = 'tool'
  fileType       = 'exe'
  silentArgs     = '/S /D=''C:\It’’s $(here)'''
  validExitCodes = @(0, 1641, 3010)
  url64bit       = 'https://forge.example.invalid/acme/Tool/releases/download/v1.2.3/tool_windows_amd64.exe'
  checksum64     = '1111111111111111111111111111111111111111111111111111111111111111'
  checksumType64 = 'sha256'
}
Install-ChocolateyPackage @packageArgs
