//! The network namespace of a platform. Nothing of it reaches the host: the node's address sits on a veth pair
//! whose both ends are inside, so any number of platforms use the same addresses side by side.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;

use crate::paths::Name;
use crate::{NODE_IP, POD_CIDR, SERVICE_CIDR};

/// Where `ip netns` pins the namespace.
pub(crate) fn file(name: &Name) -> PathBuf {
    Path::new("/run/netns").join(name.tagged())
}

/// Refuses a local CIDR that would swallow one of the platform's own networks.
pub(crate) fn check_local(local: Ipv4Net) -> Result<()> {
    for (what, own) in [("node", "10.100.0.0/24"), ("pod", POD_CIDR), ("service", SERVICE_CIDR)] {
        let own: Ipv4Net = own.parse()?;
        if local.contains(&own.network()) || own.contains(&local.network()) {
            bail!("--local-cidr {local}: overlaps the {what} network {own}; choose another, such as 10.0.0.0/16");
        }
    }
    Ok(())
}

/// Makes the namespace with its loopback, the node's address and the kernel switches of a node. The rest of the world
/// is unreachable and says so at once: a program that waits for an answer from outside would only be slow.
pub(crate) fn create(name: &Name, locals: &[Ipv4Net]) -> Result<()> {
    if !Path::new("/proc/sys/net/bridge").exists() {
        // A kernel that has it built in knows no such module; the check below speaks for both.
        let _ = Command::new("modprobe").arg("br_netfilter").output();
    }
    run(Command::new("ip").args(["netns", "add", &name.tagged()]))?;
    let mut script = format!(
        "set -e\n\
         ip link set lo up\n\
         ip link add node0 type veth peer name node1\n\
         ip address add {NODE_IP}/24 dev node0\n\
         ip link set node0 up\n\
         ip link set node1 up\n\
         ip route add unreachable default\n\
         sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0\n"
    );
    for local in locals {
        script += &format!("ip route add local {local} dev lo\n");
    }
    // Without it, traffic between pods of the one bridge never meets Service addresses nor policies.
    script += "if ! sysctl -q -w net.bridge.bridge-nf-call-iptables=1; then\n\
               echo 'net.bridge.bridge-nf-call-iptables cannot be set: load the kernel module br_netfilter' >&2; exit 1; fi\n";
    run(enter(name, "sh").args(["-c", &script]))
}

/// Unpins the namespace; the kernel drops it with its interfaces when the last process has left.
pub(crate) fn remove(name: &Name) -> Result<()> {
    if file(name).exists() {
        run(Command::new("ip").args(["netns", "delete", &name.tagged()]))?;
    }
    Ok(())
}

/// A command that runs `program` inside the namespace. `nsenter`, not `ip netns exec`: that one remounts /sys
/// and hides the cgroups. It replaces itself by the program, so the pid is the program's.
pub(crate) fn enter(name: &Name, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", file(name).display())).arg("--").arg(program);
    command
}

/// Like [`enter`], in a session of its own: neither Ctrl-C nor a closed terminal reaches the program.
pub(crate) fn enter_detached(name: &Name, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg("nsenter").arg(format!("--net={}", file(name).display())).arg("--").arg(program);
    command
}

/// Runs a short command; its error carries what it wrote to stderr.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Like [`run`], answering what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("run {:?}", command.get_program()))?;
    if !out.status.success() {
        bail!("{command:?}: {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_cidr_must_not_swallow_own_networks() {
        assert!(check_local("10.0.0.0/16".parse().unwrap()).is_ok());
        for bad in ["10.0.0.0/8", "10.244.0.0/25", "10.96.0.0/16", "10.100.0.1/32"] {
            assert!(check_local(bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
