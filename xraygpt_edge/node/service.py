"""`node service`: a unit for systemd or a task for the Windows scheduler, printed; nothing is written."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from xraygpt_edge.node.settings import Settings, endpoint

PRIVILEGED_PORTS = 1024
MEMORY_MAX = "12G"
WHAT = "xraygpt-edge node: drafts of reports about chest radiographs"
LOCAL_SERVICE = "S-1-5-19"
"""An account of Windows with hardly any rights."""


def systemd(settings: Settings, config: Path) -> str:
    """A unit that may write below `dir` and reach the configured peers, and little else."""
    port = endpoint(settings.node.listen)[1]
    bind = "CAP_NET_BIND_SERVICE" if port < PRIVILEGED_PORTS else ""
    writable = [settings.node.dir, *(each.folder for each in settings.destinations if each.folder)]
    if settings.node.watch and settings.node.watch.after != "keep":
        writable.append(settings.node.watch.folder)
    return f"""[Unit]
Description={WHAT}
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart="{sys.executable}" -m xraygpt_edge node run "{config}" --quiet
Restart=on-failure
RestartSec=60
RestartPreventExitStatus=2 10 11 12 13
SuccessExitStatus=130 143
WatchdogSec=300
TimeoutStopSec=30
NotifyAccess=main
DynamicUser=no
User=xraygpt
Group=xraygpt
UMask=0077
{"".join(f'ReadWritePaths="{path}"{chr(10)}' for path in writable)}MemoryMax={MEMORY_MAX}
TasksMax=512
LimitCORE=0
CapabilityBoundingSet={bind}
AmbientCapabilities={bind}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProcSubset=all
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
IPAddressDeny=any
{"".join(f"IPAddressAllow={address}{chr(10)}" for address in addresses(settings))}
[Install]
WantedBy=multi-user.target
"""


def windows(settings: Settings, config: Path) -> str:
    """A task of the scheduler: at the start of the computer, without rights, again a minute after a failure."""
    arguments = escape(f'-m xraygpt_edge node run "{config}" --quiet')
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.4" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>{WHAT}</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals>
    <Principal id="Author"><UserId>{LOCAL_SERVICE}</UserId><RunLevel>LeastPrivilege</RunLevel></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
    <Enabled>true</Enabled>
  </Settings>
  <Actions Context="Author">
    <Exec><Command>{escape(sys.executable)}</Command><Arguments>{arguments}</Arguments>
      <WorkingDirectory>{escape(settings.node.dir)}</WorkingDirectory></Exec>
  </Actions>
</Task>
"""


def addresses(settings: Settings) -> list[str]:
    """Those of peers and destinations, each once; this computer's own where it is meant."""
    named = [peer.address for peer in settings.peers]
    named += [endpoint(each.address)[0] for each in settings.destinations if each.address]
    if not settings.peers:
        named.append("127.0.0.1")
    return sorted(set(named), key=lambda text: (ipaddress.ip_address(text).version, ipaddress.ip_address(text).packed))
