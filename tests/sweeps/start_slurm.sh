#!/usr/bin/env bash
# Starts a SLURM of two nodes on this machine, for the tests: start_slurm.sh [folder for its state]
# Needs root and Debian's packages slurm-wlm and munge. The nodes claim more cores than there are, so that jobs run side by side.
set -euo pipefail
state=${1:-/tmp/lynx_pose-slurm}
host=$(hostname -s)
if sinfo --noheader --format=%t 2>/dev/null | grep -qE 'idle|mix|alloc'; then exit 0; fi

mkdir -p "$state/controller"
cat >/etc/slurm/slurm.conf <<EOF
ClusterName=lynx_pose
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
# A job that is queued again may start after so many seconds and one, instead of two minutes.
AuthInfo=cred_expire=5
StateSaveLocation=$state/controller
SlurmctldPidFile=$state/slurmctld.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdSpoolDir=$state/%n
SlurmdPidFile=$state/%n.pid
SlurmdLogFile=$state/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=2
KillWait=10
ReturnToService=2
NodeName=near NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=4 RealMemory=2000
NodeName=far NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=4 RealMemory=2000
PartitionName=test Nodes=near,far Default=YES MaxTime=INFINITE State=UP
EOF

mkdir -p /run/munge && chown munge:munge /run/munge
if [ ! -f /etc/munge/munge.key ]; then
  dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
fi
chown munge:munge /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
pgrep -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
pgrep -x slurmctld >/dev/null || slurmctld -c
for node in near far; do slurmd -N "$node"; done

for _ in $(seq 30); do
  if [ "$(sinfo --noheader --Node --format=%t | grep -cx idle)" = 2 ]; then exit 0; fi
  sleep 1
done
echo "SLURM did not come up; $state has its logs" >&2
exit 1
