//! Histories from a number.
//!
//! Left out, because what should happen is not decided or not built: a stranger who takes our tag off a rule or a
//! group (it is a stranger's from then on, and its leftovers stay by rule 6), moves between shards, a TXT taken over by
//! another cluster, certificates by request, prewired domains.

use gatehouse_virtual::Fault;

use crate::history::{Account, Act, History, Stranger};

pub const NAMESPACES: [&str; 3] = ["team-a", "team-b", "team-c"];

/// SplitMix64: the same everywhere, and any number is a good seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Hosts a namespace may get. `both` is contested by all, `*.example.com` overlaps everything of one label, and hosts
/// below `a.example.com` need a certificate that somebody has to bring.
pub fn pool(namespace: &str) -> Vec<String> {
    let letter = namespace.chars().last().unwrap();
    let mut out: Vec<String> = (1..=4).map(|i| format!("{letter}{i}.example.com")).collect();
    out.push("both.example.com".into());
    match letter {
        'a' => out.push("x.a.example.com".into()),
        'b' => out.push("*.example.com".into()),
        _ => out.push("*.a.example.com".into()),
    }
    out
}

/// Every name that may get a rule.
pub fn universe() -> &'static [String] {
    static ALL: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let mut out: Vec<String> = NAMESPACES.iter().flat_map(|ns| pool(ns)).collect();
        out.sort();
        out.dedup();
        out
    })
}

pub fn history(seed: u64) -> History {
    let mut dice = Dice::new(seed);
    let account = Account {
        slow: dice.one_in(3),
        throttled: dice.one_in(3),
        rules: 3 + i64::try_from(dice.below(3)).unwrap(),
        groups: if dice.one_in(2) { 100 } else { 3 },
        shards: 2 + u32::try_from(dice.below(2)).unwrap(),
        two: dice.one_in(4),
    };
    let mut acts = Vec::new();
    for _ in 0..5 + dice.below(16) {
        // Often at once, sometimes after everything has settled.
        let wait = match dice.below(8) {
            0..=2 => 0,
            3..=5 => u32::try_from(dice.below(8)).unwrap(),
            6 => 30 + u32::try_from(dice.below(120)).unwrap(),
            _ => 600 + u32::try_from(dice.below(1200)).unwrap(),
        };
        acts.push((wait, act(&mut dice, &account)));
    }
    let count = if dice.one_in(3) { dice.below(40) } else { dice.below(6) };
    let mut faults: Vec<(u64, Fault)> = (0..count).map(|_| (1 + dice.below(400), *dice.of(&Fault::ALL))).collect();
    faults.sort_by_key(|(n, _)| *n);
    faults.dedup_by_key(|(n, _)| *n);
    History { name: format!("seed {seed}"), account, acts, faults }
}

fn act(dice: &mut Dice, account: &Account) -> Act {
    let namespace = (*dice.of(&NAMESPACES)).to_owned();
    let name = (*dice.of(&["one", "two", "three"])).to_owned();
    let service = (*dice.of(&["web", "api"])).to_owned();
    match dice.below(40) {
        0..=16 => {
            let pool = pool(&namespace);
            let mut hosts: Vec<String> = (0..1 + dice.below(3)).map(|_| dice.of(&pool).clone()).collect();
            hosts.sort();
            hosts.dedup();
            let mut on = vec!["public".to_owned()];
            if account.two && dice.one_in(2) {
                if dice.one_in(2) {
                    on.clear();
                }
                on.push("inner".to_owned());
            }
            Act::App { namespace, name, hosts, service, on }
        }
        17..=23 => Act::DeleteApp { namespace, name },
        24 => Act::LoseApp { namespace, name },
        25 => Act::Label { namespace, name, value: (*dice.of(&["red", "blue"])).into() },
        26..=28 => {
            let pool = pool(&namespace);
            let hosts = pool.iter().filter(|_| !dice.one_in(4)).cloned().collect();
            let domains = if dice.one_in(3) { vec!["example.com".to_owned()] } else { Vec::new() };
            Act::Policy { namespace, hosts, domains, strict: dice.one_in(4) }
        }
        29 => Act::DeletePolicy { namespace },
        30 => Act::DeleteService { namespace, name: service },
        31 => Act::Service { namespace, name: service },
        32 => Act::Namespace { name: namespace },
        33 => Act::DeleteNamespace { name: namespace },
        34 => Act::ReplacePods { namespace },
        35 => Act::Certificate { names: vec!["*.a.example.com".into()] },
        36 => Act::Elect,
        _ => Act::Stranger(stranger(dice)),
    }
}

fn stranger(dice: &mut Dice) -> Stranger {
    let host = dice.of(universe()).clone();
    let nth = usize::try_from(dice.below(5)).unwrap();
    match dice.below(7) {
        0 => Stranger::Record { host },
        1 => Stranger::Rule {
            priority: 1 + u32::try_from(dice.below(3)).unwrap(),
            host: format!("foreign.{}", host.trim_start_matches("*.")),
        },
        2 => Stranger::Group { name: format!("foreign-{nth}") },
        3 => Stranger::DropRule { nth },
        4 => Stranger::DropRecord { host },
        5 => Stranger::DropGroup { nth },
        _ => Stranger::DropTargets { nth },
    }
}
