//! Bars that show how far a command is. They are drawn on a terminal alone.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// It moves this often, also while nothing is done.
const TICK: Duration = Duration::from_millis(200);

/// A bar for `what`, of which there is so much, where that is known yet.
pub fn bar(what: impl Into<String>, length: Option<usize>) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg:<28} {bar:30} {pos}/{len} {elapsed}");
    let bar = match length {
        Some(length) => ProgressBar::new(length as u64),
        None => ProgressBar::no_length(),
    };
    let bar = bar.with_style(style.expect("a fixed template")).with_message(what.into());
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        thread,
        time::Instant,
    };

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that keeps all that it is given.
    #[derive(Clone, Debug, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Seen {
        fn take(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.to_owned());
            Ok(())
        }
    }

    impl TermLike for Seen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.take(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.take(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_says_what_is_done_and_moves_while_nothing_is() {
        let (seen, bar) = (Seen::default(), bar("measuring", Some(3)));
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(seen.clone())));
        let start = Instant::now();
        let drawn = || -> Vec<String> {
            let mut all = seen.0.lock().unwrap().clone();
            all.retain(|text| text.contains("measuring"));
            all.dedup();
            all
        };
        while drawn().len() < 4 {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", drawn());
            thread::sleep(TICK);
        }
        assert!(drawn().iter().all(|text| text.contains("0/3")), "{:?}", drawn());
    }
}
