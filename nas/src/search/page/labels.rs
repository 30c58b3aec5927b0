//! Where the names beside marks go, so that they hide neither marks, nor the line, nor each other.

/// Size of a name's letters.
pub(super) const FONT: f64 = 11.0;
/// Mean width of a letter of that size; browsers' sans-serif fonts stay below it.
const LETTER: f64 = 6.3;
/// Height of a name.
const LINE: f64 = 14.0;
/// From a mark's centre to its edge, and to its name.
const MARK: (f64, f64) = (7.0, 11.0);
/// Names are tried this many lines away from their marks at most.
const FAR: i32 = 4;

/// A place in the plot.
pub(super) type Point = (f64, f64);

/// A rectangle in the plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// How much of it `other` covers.
    fn shared(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    fn size(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

/// An area for each name: the first place around its mark that is free, else the freest.
pub(super) fn place(frame: &Area, marks: &[Point], names: &[&str], line: &[Point]) -> Vec<Area> {
    let around = |&(x, y): &Point| Area {
        left: x - MARK.0,
        top: y - MARK.0,
        right: x + MARK.0,
        bottom: y + MARK.0,
    };
    let segment = |ends: &[Point]| Area {
        left: ends[0].0.min(ends[1].0) - 1.0,
        top: ends[0].1.min(ends[1].1) - 1.0,
        right: ends[0].0.max(ends[1].0) + 1.0,
        bottom: ends[0].1.max(ends[1].1) + 1.0,
    };
    let mut taken: Vec<Area> =
        marks.iter().map(around).chain(line.windows(2).map(segment)).collect();
    let mut areas = Vec::new();
    for (mark, name) in marks.iter().zip(names) {
        let cost = |area: &Area| {
            let covered: f64 = taken.iter().map(|other| area.shared(other)).sum();
            covered + area.size() - area.shared(frame)
        };
        // The first of equal ones is kept, and they come by distance.
        let best = places(mark, name)
            .into_iter()
            .min_by(|a, b| cost(a).total_cmp(&cost(b)))
            .expect("there are places around every mark");
        taken.push(best);
        areas.push(best);
    }
    areas
}

/// A line from a mark to its name, for a name that had to go further away than beside its mark.
pub(super) fn leader(&(x, y): &Point, name: &Area) -> Option<[Point; 2]> {
    let end = (x.clamp(name.left, name.right), y.clamp(name.top, name.bottom));
    let (dx, dy) = (end.0 - x, end.1 - y);
    let long = dx.hypot(dy);
    let start = (x + dx * MARK.0 / long, y + dy * MARK.0 / long);
    (long > MARK.1 + LINE / 2.0).then_some([start, end])
}

/// The places for a name around its mark: beside it, above and below it, then further up and down.
fn places(&(x, y): &Point, name: &str) -> Vec<Area> {
    let width = name.chars().count() as f64 * LETTER;
    let at = |left: f64, middle: f64| Area {
        left,
        top: middle - LINE / 2.0,
        right: left + width,
        bottom: middle + LINE / 2.0,
    };
    let (right, left) = (x + MARK.1, x - MARK.1 - width);
    let mut all = vec![at(right, y), at(left, y)];
    for lines in 1..=FAR {
        for side in [-1.0, 1.0] {
            let middle = y + side * (MARK.0 + LINE * (f64::from(lines) - 0.5) + 1.0);
            all.extend([right, left, x - width / 2.0].map(|left| at(left, middle)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Area = Area { left: 70.0, top: 20.0, right: 870.0, bottom: 370.0 };

    #[test]
    fn a_crowd_of_names_hides_nothing() {
        let marks = [
            (400.0, 120.0),
            (401.0, 134.0),
            (412.0, 150.0),
            (430.0, 160.0),
            (470.0, 160.0),
            (865.0, 160.0),
        ];
        let names = [
            "wan 0.043 s",
            "random, wan",
            "MPCViT, 10 of 20 heads ReLU",
            "uniform, 2 of 4 heads ReLU",
            "wan 0.052 s",
            "all softmax",
        ];
        let line = [(400.0, 120.0), (870.0, 120.0)];
        let front = Area { left: 400.0, top: 119.5, right: 870.0, bottom: 120.5 };
        let areas = place(&FRAME, &marks, &names, &line);
        for (i, area) in areas.iter().enumerate() {
            assert!((area.shared(&FRAME) - area.size()).abs() < 1e-9, "{area:?} leaves the frame");
            assert!(areas[..i].iter().all(|other| area.shared(other) == 0.0), "{areas:?}");
            for (x, y) in marks {
                let mark = Area { left: x - 6.0, top: y - 6.0, right: x + 6.0, bottom: y + 6.0 };
                assert_eq!(area.shared(&mark), 0.0, "{} hides a mark", names[i]);
            }
            assert_eq!(area.shared(&front), 0.0, "{} is struck through", names[i]);
        }
    }

    #[test]
    fn a_mark_alone_has_its_name_on_the_right() {
        let areas = place(&FRAME, &[(200.0, 100.0)], &["all relu"], &[]);
        assert!(areas[0].left == 211.0 && (areas[0].top, areas[0].bottom) == (93.0, 107.0));
        assert_eq!(leader(&(200.0, 100.0), &areas[0]), None);
    }

    #[test]
    fn a_line_leads_to_a_name_that_stands_apart() {
        let name = Area { left: 190.0, top: 130.0, right: 240.0, bottom: 144.0 };
        assert_eq!(leader(&(200.0, 100.0), &name), Some([(200.0, 107.0), (200.0, 130.0)]));
        let [start, end] = leader(&(160.0, 90.0), &name).unwrap();
        assert_eq!(end, (190.0, 130.0));
        assert!(((start.0 - 160.0).hypot(start.1 - 90.0) - MARK.0).abs() < 1e-9);
    }
}
