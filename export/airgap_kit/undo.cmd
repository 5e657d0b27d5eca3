@echo off
rem Gives the program back that was installed before the last kit; once more, and the newer one answers again.
rem Models stay as they are.
setlocal
set "here=%~dp0"
if not exist "%here%previous.cmd" goto nothing
copy /y "%here%xraygpt-edge.cmd" "%here%back.next" >nul
if not exist "%here%back.next" goto failed
rem From the next line on the other one answers.
move /y "%here%previous.cmd" "%here%xraygpt-edge.cmd" >nul
if exist "%here%previous.cmd" goto failed
move /y "%here%back.next" "%here%previous.cmd" >nul
set /p bundle=<"%here%bundle"
call "%here%xraygpt-edge.cmd" serve --shortcut --bundle "%bundle%" >nul 2>nul
echo Now this program answers:
call "%here%xraygpt-edge.cmd" --version
exit /b 0

:nothing
>&2 echo Nothing is undone: no program was installed in "%here%" before this one.
exit /b 2

:failed
>&2 echo Nothing is undone: "%here%" cannot be written.
exit /b 16
