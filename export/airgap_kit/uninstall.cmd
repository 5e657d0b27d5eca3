@echo off
rem Removes xraygpt-edge from the folder that this file is in, and what it keeps to start faster.
rem
rem   uninstall.cmd               models stay, for a later installation
rem   uninstall.cmd models        models go as well
rem
rem Files that somebody else has put into the folder stay. Ends with 0, or with one line and: 2 this is no
rem installation, 16 it could not be removed.
setlocal
set "here=%~dp0"
set "data=%LOCALAPPDATA%\xraygpt-edge"
if not exist "%here%.installation" goto nothing
rem First: half a program must not answer.
del /q "%here%xraygpt-edge.cmd" "%here%previous.cmd" 2>nul
del /q "%APPDATA%\Microsoft\Windows\Start Menu\Programs\xraygpt-edge.lnk" 2>nul
if exist "%here%versions" rmdir /s /q "%here%versions" 2>nul
if exist "%here%versions" goto running
if exist "%data%\Cache" rmdir /s /q "%data%\Cache" 2>nul
if /i "%~1"=="models" if exist "%data%" rmdir /s /q "%data%" 2>nul
if exist "%data%\bundles" echo The models stay in "%data%\bundles". Delete that folder if nobody needs them.
del /q "%here%example.dcm" "%here%signer" "%here%bundle" "%here%.installing" "%here%undo.cmd" "%here%*.next" 2>nul
del /q "%here%.installation" 2>nul
echo xraygpt-edge is removed.
rem One line, which cmd reads whole before this file goes.
del /q "%here%uninstall.cmd" & rmdir "%here%" 2>nul & exit /b 0

:nothing
>&2 echo Not removed: nothing is installed in "%here%".
exit /b 2

:running
>&2 echo Not removed: the program is still running. Close it; what is left can be removed by the same command.
exit /b 16
