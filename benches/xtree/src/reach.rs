//! How large windows are: by brute force over a sample, which works in any dimension.

use crate::place::Place;
use crate::random::Random;

/// Entries that a window meets on average, beside the one that it is centred at.
pub(crate) const WANTED: [usize; 4] = [1, 10, 100, 10_000];

/// Half the sides of windows with so many hits.
pub(crate) type Reaches = [f64; WANTED.len()];

/// Pairs of a centre and an entry that are looked at, about.
const PAIRS: usize = 200_000_000;
/// So much more than the farthest pair wanted: no entry lies exactly on the border of a window,
/// where rounding would decide.
const MARGIN: f64 = 1.000_001;

/// The least distances of all pairs of a sampled centre and an entry; the one at `centres * wanted`
/// is that within which there are `wanted` entries on average.
pub(crate) fn reaches<P: Place<D>, const D: usize>(places: &[P]) -> Reaches {
    let mut random = Random::new(77);
    let centres = (PAIRS / places.len()).clamp(50, 400);
    let most = centres * WANTED[WANTED.len() - 1].min(places.len() / 2);
    let (mut nearest, mut limit) = (Vec::with_capacity(2 * most), f64::INFINITY);
    for _ in 0..centres {
        let own = random.below(places.len());
        let centre = places[own].centre();
        for (number, place) in places.iter().enumerate() {
            let reach = place.reach_from(&centre);
            if reach >= limit || number == own {
                continue;
            }
            nearest.push(reach);
            if nearest.len() == 2 * most {
                let (_, middle, _) = nearest.select_nth_unstable_by(most, f64::total_cmp);
                limit = *middle;
                nearest.truncate(most);
            }
        }
    }
    nearest.sort_unstable_by(f64::total_cmp);
    WANTED.map(|wanted| MARGIN * nearest[(centres * wanted).min(nearest.len()) - 1])
}
