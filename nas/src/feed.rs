//! The pictures of one step after the other, made by several threads while the step before them is trained: a GPU does
//! not wait for its pictures.
//!
//! A batch follows from the recipe and the number of its step alone, whoever makes it and when.

use std::time::Instant;

use sotto_models::Arch;

use crate::augment::{Patcher, shuffled};
use crate::blend::{Samples, Source};
use crate::data::Split;
use crate::recipe::Recipe;
use crate::workers::each;

/// Pictures that a thread makes in one go.
const PIECE: usize = 16;

/// What one step trains on.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Where the pictures come from.
    pub source: Source<'a>,
    /// The images that they are made of, by micro-batch.
    pub indices: Vec<Vec<u32>>,
    /// The pictures, by micro-batch.
    pub samples: Vec<Samples>,
}

impl<'a> Batch<'a> {
    /// The batch of images `indices` for `arch`, in micro-batches of `micro`.
    pub fn new(
        source: Source<'a>,
        indices: &[u32],
        arch: &Arch,
        [micro, workers]: [usize; 2],
    ) -> Self {
        let patcher = Patcher::new(arch);
        let pieces: Vec<&[u32]> = indices.chunks(micro).flat_map(|m| m.chunks(PIECE)).collect();
        let make = |i: usize| source.samples(&patcher, pieces[i], arch.classes);
        let mut made = each(workers, pieces.len(), make).into_iter();
        let samples = indices.chunks(micro).map(|m| {
            let mut whole = Samples::default();
            made.by_ref().take(m.len().div_ceil(PIECE)).for_each(|piece| whole.append(piece));
            whole
        });
        let samples = samples.collect();
        Self { source, indices: indices.chunks(micro).map(<[u32]>::to_vec).collect(), samples }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.indices.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The batches of a run.
#[derive(Debug)]
pub struct Feed<'a> {
    train: &'a Split,
    arch: Arch,
    recipe: Recipe,
    workers: usize,
    /// The last epoch that was asked for, and its order.
    order: (usize, Vec<u32>),
    /// What was made ahead, and its step.
    ahead: Option<(usize, Batch<'a>)>,
    /// Pictures a second where nothing else was done.
    speed: f64,
}

impl<'a> Feed<'a> {
    /// The batches of `recipe` from `train`, for models that see as `arch` does.
    pub fn new(train: &'a Split, recipe: &Recipe, arch: &Arch, workers: usize) -> Self {
        Self {
            train,
            arch: arch.clone(),
            recipe: recipe.clone(),
            workers,
            order: (0, shuffled(train.len(), recipe.seed, 0)),
            ahead: None,
            speed: f64::NAN,
        }
    }

    /// Pictures of a step.
    pub fn batch(&self) -> usize {
        self.recipe.batch.min(self.train.len())
    }

    /// Steps of a pass over the training images.
    pub fn per_epoch(&self) -> usize {
        (self.train.len() / self.batch()).max(1)
    }

    /// Steps of the run.
    pub fn total(&self) -> usize {
        self.per_epoch() * self.recipe.epochs
    }

    /// Pictures a second when the last batch was made that no other work was done beside.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Does `work` on the batch of `step`, while that of the step after it is made. `progress` is what share of the run is over
    /// at the one and at the other.
    pub fn step<T>(
        &mut self,
        step: usize,
        progress: [f64; 2],
        work: impl FnOnce(Batch<'a>) -> T,
    ) -> T {
        let batch = match self.ahead.take() {
            Some((at, batch)) if at == step => batch,
            _ => {
                let clock = Instant::now();
                let batch = self.make(step, progress[0]);
                self.speed = batch.len() as f64 / clock.elapsed().as_secs_f64();
                batch
            }
        };
        if step + 1 >= self.total() {
            return work(batch);
        }
        std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let next = self.make(step + 1, progress[1]);
                self.ahead = Some((step + 1, next));
            });
            let done = work(batch);
            making.join().expect("a worker that panics ends the program");
            done
        })
    }

    fn make(&mut self, step: usize, progress: f64) -> Batch<'a> {
        let (epoch, at) = (step / self.per_epoch(), step % self.per_epoch());
        if self.order.0 != epoch {
            self.order = (epoch, shuffled(self.train.len(), self.recipe.seed, epoch));
        }
        let (seed, strength) = (self.recipe.seed, self.recipe.strength(progress));
        let source = Source { split: self.train, seed, epoch, strength };
        let indices = &self.order.1[at * self.batch()..(at + 1) * self.batch()];
        Batch::new(source, indices, &self.arch, [self.recipe.micro, self.workers])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_made_ahead_is_what_would_be_made_then() {
        let split = Split::synthetic(90);
        let arch = Arch::vit(1, 2, 8, 16, 32, 8, 10);
        let line =
            "--data d --arch a --out o --epochs 3 --batch 40 --micro 17 --mixup 0.5 --distort 1";
        let recipe = Config::parse(line.split(' ').map(String::from)).unwrap().recipe;
        let progress = |step: usize| step as f64 / 6.0;
        let pictures = |batch: Batch<'_>| {
            let whole: Vec<f32> = batch.samples.iter().flat_map(|s| s.patches.clone()).collect();
            (batch.indices, whole)
        };
        let mut feed = Feed::new(&split, &recipe, &arch, 3);
        assert_eq!((feed.batch(), feed.per_epoch(), feed.total()), (40, 2, 6));
        let mut seen = Vec::new();
        for step in 0..6 {
            let ahead = feed.step(step, [progress(step), progress(step + 1)], pictures);
            let mut fresh = Feed::new(&split, &recipe, &arch, 1);
            assert_eq!(fresh.step(step, [progress(step), 0.0], pictures), ahead, "step {step}");
            let sizes: Vec<usize> = ahead.0.iter().map(Vec::len).collect();
            assert_eq!((sizes, ahead.1.len()), (vec![17, 17, 6], 40 * 3072));
            assert!(!seen.contains(&ahead.1));
            seen.push(ahead.1);
        }
        assert!(feed.speed() > 0.0);
    }
}
