//! An nginx, its processes, and what they use.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gatehouse_route::INTERNAL_PORT;
use rustix::process::{Pid, Signal, kill_process};

pub struct Nginx {
    child: Child,
    dir: PathBuf,
}

pub fn program() -> PathBuf {
    std::env::var_os(crate::NGINX).unwrap().into()
}

impl Nginx {
    /// Runs this configuration from a directory of this name.
    pub fn start(name: &str, conf: &str) -> Nginx {
        let dir = PathBuf::from(format!("/tmp/{name}"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("nginx.conf"), conf).unwrap();
        let child = command(&dir).stderr(Stdio::null()).spawn().unwrap();
        Nginx { child, dir }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `nginx -t` on this configuration: seconds.
    pub fn test(&self, conf: &str) -> f64 {
        std::fs::write(self.dir.join("nginx.conf"), conf).unwrap();
        let began = Instant::now();
        assert!(command(&self.dir).args(["-t", "-q"]).status().unwrap().success());
        began.elapsed().as_secs_f64()
    }

    /// Tells it to read its file again.
    pub fn reload(&self) {
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), Signal::HUP).unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pids = workers(self.pid());
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Without their master they would go on.
        for pid in pids {
            let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
            // The next nginx has the same ports.
            until("a worker's end", || !Path::new(&format!("/proc/{pid}/exe")).exists());
        }
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["-e", "stderr", "-p"]).arg(dir).arg("-c").arg(dir.join("nginx.conf")).stdin(Stdio::null());
    command
}

pub fn workers(master: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Memory of master and workers, shared pages counted once, in bytes.
pub fn memory(master: u32) -> u64 {
    let of = |pid: u32| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let kib =
            text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap() << 10
    };
    of(master) + workers(master).into_iter().map(of).sum::<u64>()
}

/// What a process has used of a core so far, in ticks.
pub fn ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The hash that workers answer.
pub fn served() -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, INTERNAL_PORT)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 60 s");
        sleep(Duration::from_millis(1));
    }
}
