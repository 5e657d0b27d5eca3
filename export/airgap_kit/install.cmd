@echo off
rem Installs xraygpt-edge from this folder: a double click. No network, no administrator.
rem
rem   install.cmd [FOLDER]        FOLDER: where the program goes
rem   set SIGNER=SHA256:...       before it, in the same window: takes the kit only if that key has signed it
rem
rem Windows itself checks what runs first, and that nothing lies beside it, such as a library that Python would load;
rem that then checks the rest. The exit codes are in install.py.
setlocal
set "kit=%~dp0"
set "bad="
set "others=0"
rem A command is sought in the current folder first, which is the kit's: its certutil would be no judge.
pushd "%SystemRoot%\System32"
if not exist "%kit%SHA256SUMS" set "bad=SHA256SUMS"
if not defined bad for /f "usebackq tokens=1*" %%h in ("%kit%SHA256SUMS") do call :check %%h "%%i"
if not defined bad for /f "delims=" %%f in ('dir /s /b /a-d "%kit%python"') do set /a others+=1
if not defined bad if not "%others%"=="0" set "bad=python: %others% files that are not in the list"
popd
if defined bad goto damaged
"%kit%python\python.exe" -B "%kit%install.py" %*
set "code=%errorlevel%"
goto ending

:check
set "name=%~2"
set "name=%name:/=\%"
if not "%name:~0,7%"=="python\" if not "%name:~-3%"==".py" exit /b 0
if "%name:~0,7%"=="python\" set /a others-=1
set "same="
for /f "skip=1 delims=" %%s in ('certutil -hashfile "%kit%%name%" SHA256 2^>nul') do if /i "%%s"=="%~1" set "same=yes"
if not defined same if not defined bad set "bad=%name%"
exit /b 0

:damaged
>&2 echo Not installed: the kit is damaged (%bad%). Copy it to the stick again.
set "code=12"

:ending
pause
exit /b %code%
