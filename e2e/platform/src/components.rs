//! How each component is started: its flags, its configuration file, and why they differ from the defaults.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::kit::{Kit, PAUSE_IMAGE};
use crate::netns;
use crate::paths::{Name, RunDir};
use crate::{API_SERVER, CLUSTER_DNS, NODE_GATEWAY, NODE_IP, POD_CIDR, SERVICE_CIDR};

/// What the start of a component may refer to.
pub(crate) struct Site<'a> {
    pub(crate) name: &'a Name,
    pub(crate) run: &'a RunDir,
    pub(crate) kit: &'a Kit,
}

impl Site<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = netns::enter_detached(self.name, self.kit.bin(program));
        command.current_dir(self.run.path());
        command
    }

    fn path(&self, path: &str) -> String {
        self.run.join(path).display().to_string()
    }

    fn kubeconfig(&self) -> String {
        self.run.kubeconfig().display().to_string()
    }

    /// etcd, without the wait for the disk: this data does not outlive the platform.
    pub(crate) fn etcd(&self) -> Command {
        let mut command = self.command("etcd");
        command.args(["--unsafe-no-fsync", "--log-level=warn", "--data-dir", &self.path("etcd")]);
        command.args(["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"]);
        command.args(["--listen-peer-urls=http://127.0.0.1:2380"]);
        command
    }

    /// The API server. Webhook Services are dialled at their endpoints directly, because without a node nothing
    /// routes a Service address.
    pub(crate) fn apiserver(&self) -> Command {
        let mut command = self.command("kube-apiserver");
        let cert = |file: &str| self.path(&format!("certs/{file}"));
        command.args(["--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443", "--bind-address=0.0.0.0"]);
        command.args(["--advertise-address", NODE_IP, "--service-cluster-ip-range", SERVICE_CIDR]);
        command.args(["--tls-cert-file", &cert("apiserver.crt"), "--tls-private-key-file", &cert("apiserver.key")]);
        command.args(["--client-ca-file", &cert("ca.crt"), "--cert-dir", &self.path("certs")]);
        command.args(["--kubelet-client-certificate", &cert("kubelet-client.crt")]);
        command.args(["--kubelet-client-key", &cert("kubelet-client.key")]);
        command.args(["--kubelet-certificate-authority", &cert("ca.crt")]);
        command.args(["--kubelet-preferred-address-types=InternalIP"]);
        command.args(["--service-account-issuer=https://kubernetes.default.svc"]);
        command.args(["--service-account-key-file", &cert("sa.pub")]);
        command.args(["--service-account-signing-key-file", &cert("sa.key")]);
        command.args(["--authorization-mode=RBAC", "--allow-privileged=true", "--enable-aggregator-routing=true"]);
        command
    }

    /// The controllers; node addresses come from the CNI configuration, so that controller is off.
    pub(crate) fn controller_manager(&self) -> Command {
        let mut command = self.command("kube-controller-manager");
        command.args(["--kubeconfig", &self.kubeconfig(), "--bind-address=127.0.0.1", "--leader-elect=false"]);
        command.args(["--controllers=*,-nodeipam", "--root-ca-file", &self.path("certs/ca.crt")]);
        command.args(["--service-account-private-key-file", &self.path("certs/sa.key")]);
        command
    }

    pub(crate) fn scheduler(&self) -> Command {
        let mut command = self.command("kube-scheduler");
        command.args(["--kubeconfig", &self.kubeconfig(), "--bind-address=127.0.0.1", "--leader-elect=false"]);
        command
    }

    /// containerd inside a mount namespace of its own, which the kubelet joins. All mounts of pods live and die
    /// with these processes, even when they are killed; and the folders that the two hard-code on the host
    /// (shim sockets, pod network namespaces, device plugin socket, log links) are private.
    pub(crate) fn containerd(&self) -> Result<Command> {
        let config = format!(
            r#"version = 3
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{socket}"

[ttrpc]
address = "{socket}.ttrpc"

[plugins.'io.containerd.internal.v1.opt']
path = "{opt}"

[plugins.'io.containerd.nri.v1.nri']
disable = true

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
enable_unprivileged_ports = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{cni}"

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{shim}"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
            root = self.path("containerd"),
            state = self.path("containerd-state"),
            socket = self.run.containerd_socket().display(),
            opt = self.path("containerd-opt"),
            cni = self.path("cni"),
            shim = self.kit.bin("containerd-shim-runc-v2").display(),
        );
        fs::create_dir_all(self.run.join("cni"))?;
        fs::write(self.run.join("containerd.toml"), config)?;
        fs::write(self.run.join("cni/10-platform.conflist"), self.cni()?)?;
        let script = "set -e\n\
            umount --lazy --recursive /run/netns 2>/dev/null || true\n\
            mount -t tmpfs -o mode=755 platform /run\n\
            for folder in /var/log/containers /var/lib/kubelet; do\n\
              mkdir -p $folder\n\
              mount -t tmpfs -o mode=755 platform $folder\n\
            done\n\
            mount --make-rshared /\n\
            exec \"$@\"";
        let mut command = netns::enter_detached(self.name, "unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(self.kit.bin("containerd")).arg("--config").arg(self.run.join("containerd.toml"));
        Ok(command)
    }

    fn cni(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&serde_json::json!({
            "cniVersion": "1.0.0",
            "name": self.name.tagged(),
            "plugins": [
                {
                    "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": self.path("cni-addresses"),
                        "ranges": [[{"subnet": POD_CIDR, "gateway": NODE_GATEWAY}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        }))?)
    }

    /// The kubelet, in containerd's mount namespace.
    pub(crate) fn kubelet(&self, containerd: i32) -> Result<Command> {
        let config = serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": format!("unix://{}", self.run.containerd_socket().display()),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.name.tagged()),
            "failCgroupV1": false,
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "clusterDNS": [CLUSTER_DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": self.path("resolv.conf"),
            "podLogsDir": self.path("pods"),
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": false},
                "x509": {"clientCAFile": self.path("certs/ca.crt")},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": self.path("certs/kubelet.crt"),
            "tlsPrivateKeyFile": self.path("certs/kubelet.key"),
            "maxPods": 110,
            "serializeImagePulls": false,
            // A status that is a second old is late in a platform whose whole life takes a minute.
            "nodeStatusUpdateFrequency": "2s",
            "registerWithTaints": [],
            "shutdownGracePeriod": "0s",
        });
        fs::write(self.run.join("kubelet.json"), serde_json::to_string_pretty(&config)?)?;
        // Pods of dnsPolicy Default ask nobody: the platform is offline unless a forward zone says otherwise.
        fs::write(self.run.join("resolv.conf"), "")?;
        let mut command = Command::new("setsid");
        command.arg("nsenter").arg(format!("--net={}", netns::file(self.name).display()));
        command.arg(format!("--mount=/proc/{containerd}/ns/mnt")).arg("--");
        command.arg(self.kit.bin("kubelet")).args(["--config", &self.path("kubelet.json")]);
        command.args(["--kubeconfig", &self.kubeconfig(), "--node-ip", NODE_IP]);
        command.args(["--hostname-override", self.name.as_str(), "--root-dir", &self.path("kubelet")]);
        command.args(["--cert-dir", &self.path("certs")]);
        // Pods may ask to be spread over zones, as on EKS; the scheduler passes over nodes that name none.
        command.args([
            "--node-labels",
            "topology.kubernetes.io/region=eu-central-1,topology.kubernetes.io/zone=eu-central-1a",
        ]);
        Ok(command)
    }

    /// kube-proxy; the size of the connection table belongs to the host, so it is left alone.
    pub(crate) fn proxy(&self) -> Result<Command> {
        let config = serde_json::json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": POD_CIDR,
            "hostnameOverride": self.name.as_str(),
            "conntrack": {"maxPerCore": 0},
            "clientConnection": {"kubeconfig": self.kubeconfig()},
        });
        fs::write(self.run.join("kube-proxy.json"), serde_json::to_string_pretty(&config)?)?;
        let mut command = self.command("kube-proxy");
        command.args(["--config", &self.path("kube-proxy.json")]);
        Ok(command)
    }

    /// The NetworkPolicy enforcer: this program's own subcommand.
    pub(crate) fn enforcer(&self) -> Result<Command> {
        let mut command = netns::enter_detached(self.name, crate::own_binary()?);
        command.arg("enforce").env("KUBECONFIG", self.run.kubeconfig());
        Ok(command)
    }

    /// kubectl with the administrator's rights.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = netns::enter(self.name, self.kit.bin("kubectl"));
        command.env("KUBECONFIG", self.run.kubeconfig()).args(["--server", API_SERVER]);
        command
    }

    /// Containerd's client, in the image namespace of Kubernetes. It needs no network; inside, it ends with the platform.
    pub(crate) fn ctr(&self) -> Command {
        let mut command = netns::enter(self.name, self.kit.bin("ctr"));
        command.arg("--address").arg(self.run.containerd_socket());
        command.args(["--connect-timeout", "5s", "--namespace", "k8s.io"]);
        command
    }
}
