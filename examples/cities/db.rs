//! The state: plain Rust collections and an X-tree, over one table of places.
//!
//! Invariant: the place with number `i` is `table[i]`, and each index names each place once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use stillheap::{Durable, GreatCircle, Neighbour, RectError, XTree};

/// Everything that the program keeps.
#[derive(Durable, Default)]
pub(crate) struct Db {
    by_name: BTreeMap<String, Vec<u64>>,
    by_country: HashMap<String, Vec<u64>>,
    places: XTree<2, u64>,
    table: Vec<Place>,
}

#[derive(Durable, Clone, PartialEq, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// Two letters (ISO 3166).
    pub(crate) country: String,
    /// Degrees.
    pub(crate) lat: f64,
    /// Degrees.
    pub(crate) lon: f64,
}

impl Place {
    /// As the X-tree wants places on the globe: longitude first.
    pub(crate) fn at(&self) -> [f64; 2] {
        [self.lon, self.lat]
    }
}

impl Db {
    /// Adds a place to the table and to all indexes.
    pub(crate) fn add(&mut self, place: Place) -> Result<(), RectError> {
        let id = self.table.len() as u64;
        // First what can fail, so that a failure changes nothing.
        self.places.insert(place.at(), id)?;
        self.by_name.entry(place.name.clone()).or_default().push(id);
        self.by_country.entry(place.country.clone()).or_default().push(id);
        self.table.push(place);
        Ok(())
    }

    pub(crate) fn len(&self) -> u64 {
        self.table.len() as u64
    }

    /// The `count` places nearest to a latitude and longitude, nearest first, with how far they
    /// are, in kilometres along the globe.
    pub(crate) fn nearest(&self, [lat, lon]: [f64; 2], count: usize) -> Vec<(f64, &Place)> {
        let found = self.places.nearest_by(GreatCircle::EARTH, [lon, lat], count);
        let place = |near: &Neighbour<'_, 2, u64>| {
            self.place(*near.value).map(|place| (near.distance / 1000.0, place))
        };
        found.iter().filter_map(place).collect()
    }

    /// The places with exactly that name.
    pub(crate) fn named(&self, name: &str) -> Vec<&Place> {
        self.all(self.by_name.get(name))
    }

    /// The first names, in the order of their bytes, that begin like that.
    pub(crate) fn names_like(&self, start: &str, count: usize) -> Vec<&str> {
        let from = self.by_name.range::<str, _>((Bound::Included(start), Bound::Unbounded));
        from.map(|(name, _)| name.as_str())
            .take_while(|name| name.starts_with(start))
            .take(count)
            .collect()
    }

    /// The countries with most places, and how many they have.
    pub(crate) fn largest_countries(&self, count: usize) -> Vec<(&str, usize)> {
        let mut countries: Vec<_> =
            self.by_country.iter().map(|(name, ids)| (name.as_str(), ids.len())).collect();
        countries.sort_by_key(|&(name, len)| (std::cmp::Reverse(len), name));
        countries.truncate(count);
        countries
    }

    /// Checks that all indexes hold all places of the table and nothing else.
    pub(crate) fn audit(&self) -> Result<(), String> {
        self.places.validate().map_err(|error| format!("the X-tree is not sound: {error}"))?;
        let indexed = [
            ("name", self.by_name.values().map(Vec::len).sum()),
            ("country", self.by_country.values().map(Vec::len).sum()),
            ("position", self.places.len()),
        ];
        for (index, len) in indexed {
            if len != self.table.len() {
                let places = self.table.len();
                return Err(format!("the index by {index} holds {len} of {places} places"));
            }
        }
        let lost = (0_u64..).zip(&self.table).find(|&(id, place)| !self.is_indexed(id, place));
        lost.map_or(Ok(()), |(_, place)| Err(format!("an index has lost {place:?}")))
    }

    /// A digest of the table and of the answers to `questions` questions of each kind. Equal
    /// states give equal digests in all processes of the same program.
    pub(crate) fn digest(&self, questions: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        for place in &self.table {
            hash(place, &mut hasher);
        }
        let step = (self.table.len() / questions.max(1)).max(1);
        for place in self.table.iter().step_by(step) {
            // Among places at the same distance the order is arbitrary: distances are not.
            for (km, _) in self.nearest([place.lat + 0.3, place.lon - 0.2], 10) {
                km.to_bits().hash(&mut hasher);
            }
            for namesake in self.named(&place.name) {
                hash(namesake, &mut hasher);
            }
        }
        self.largest_countries(usize::MAX).hash(&mut hasher);
        hasher.finish()
    }

    fn place(&self, id: u64) -> Option<&Place> {
        self.table.get(usize::try_from(id).ok()?)
    }

    fn all(&self, ids: Option<&Vec<u64>>) -> Vec<&Place> {
        ids.into_iter().flatten().filter_map(|&id| self.place(id)).collect()
    }

    fn is_indexed(&self, id: u64, place: &Place) -> bool {
        // The lists hold rising numbers.
        let in_list =
            |list: Option<&Vec<u64>>| list.is_some_and(|ids| ids.binary_search(&id).is_ok());
        in_list(self.by_name.get(&place.name))
            && in_list(self.by_country.get(&place.country))
            && self.places.contains(&place.at().into(), &id)
    }
}

fn hash(place: &Place, hasher: &mut DefaultHasher) {
    place.name.hash(hasher);
    place.country.hash(hasher);
    place.at().map(f64::to_bits).hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db(places: &[(&str, &str, f64, f64)]) -> Db {
        let mut db = Db::default();
        for &(name, country, lat, lon) in places {
            let (name, country) = (name.to_owned(), country.to_owned());
            db.add(Place { name, country, lat, lon }).expect("no coordinate is NaN");
        }
        db
    }

    const PLACES: [(&str, &str, f64, f64); 4] = [
        ("Paris", "FR", 48.85, 2.35),
        ("Lyon", "FR", 45.75, 4.85),
        ("Paris", "US", 33.66, -95.56),
        ("Parma", "IT", 44.8, 10.33),
    ];

    #[test]
    fn questions_are_answered_from_all_indexes() {
        let db = db(&PLACES);
        let nearest: Vec<&str> =
            db.nearest([47.0, 4.0], 2).iter().map(|(_, place)| place.name.as_str()).collect();
        assert_eq!(nearest, ["Lyon", "Paris"]);
        let countries: Vec<&str> =
            db.named("Paris").iter().map(|place| place.country.as_str()).collect();
        assert_eq!(countries, ["FR", "US"]);
        assert_eq!(db.names_like("Par", 9), ["Paris", "Parma"]);
        assert_eq!(db.largest_countries(2), [("FR", 2), ("IT", 1)]);
        assert_eq!(db.audit(), Ok(()));
    }

    #[test]
    fn the_audit_finds_what_an_index_lost() {
        let mut shorter = db(&PLACES);
        shorter.by_name.remove("Lyon");
        assert!(shorter.audit().is_err());
        let mut swapped = db(&PLACES);
        swapped.table.swap(0, 1);
        assert!(swapped.audit().is_err());
    }

    #[test]
    fn the_digest_tells_states_apart() {
        let one = db(&PLACES).digest(2);
        assert_eq!(one, db(&PLACES).digest(2));
        assert_ne!(one, db(&PLACES[..3]).digest(2));
        let mut moved = PLACES;
        moved[3].3 += 0.00001;
        assert_ne!(one, db(&moved).digest(2));
    }
}
