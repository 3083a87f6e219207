//! How often: reloads of nginx, and its restarts after it died.

use std::time::Duration;

/// From a reload to the next.
///
/// A worker of a former configuration lives as long as its connections, up to `worker_shutdown_timeout`. The more of them
/// there are, the longer the next one waits: so their number has a bound, and with it nginx's memory.
pub fn pause(gap: Duration, old_workers: u32) -> Duration {
    gap * old_workers.max(1)
}

/// After that long an nginx that runs counts as sound.
const SOUND: Duration = Duration::from_secs(60);
/// Before the first restart; each further one waits twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// Restarts in a row. Who falls once more is not mended by the same again.
const RESTARTS: u32 = 6;

/// Ends of nginx that nobody asked for.
#[derive(Debug, Default)]
pub struct Falls {
    in_a_row: u32,
}

impl Falls {
    /// nginx has ended after it had answered for `lived`. How long to wait before it is started again; `None` when
    /// enough was tried.
    pub fn next(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= SOUND {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        (self.in_a_row <= RESTARTS).then(|| FIRST * 2_u32.pow(self.in_a_row - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every old worker has a WebSocket that never ends by itself, and there is always a change that waits.
    #[test]
    fn old_workers_are_bounded() {
        let (gap, life) = (Duration::from_secs(2), Duration::from_secs(300));
        let (mut now, mut ends, mut most) = (Duration::ZERO, Vec::new(), 0);
        for _ in 0..1_000 {
            ends.retain(|end| *end > now);
            ends.push(now + life);
            most = most.max(ends.len());
            now += pause(gap, u32::try_from(ends.len()).unwrap());
        }
        assert!((10..=18).contains(&most), "{most}");
        assert!(pause(gap, 18) < Duration::from_secs(40), "the longest wait of a change");
        assert_eq!((pause(gap, 0), pause(gap, 1)), (gap, gap), "quiet times are not slower");
    }

    #[test]
    fn restarts_wait_longer_and_end() {
        let mut falls = Falls::default();
        let waits: Vec<_> = (0..8).map(|_| falls.next(Duration::from_secs(1))).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(100), ms(200), ms(400), ms(800), ms(1600), ms(3200), None, None]);
        assert_eq!(falls.next(SOUND), ms(100), "a sound nginx falls for the first time");
    }
}
