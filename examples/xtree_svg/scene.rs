//! The scene: cities, boxes over them, and what a question finds.

use super::City;
use super::args::{Arguments, Query, Sides};
use super::svg::{Map, Picture};
use stillheap::xtree::LevelStats;
use stillheap::{GreatCircle, Rect, XTree};

/// The whole picture.
pub(crate) fn draw(tree: &XTree<2, u32>, cities: &[City], arguments: &Arguments) -> String {
    let mut picture = Picture::new(Map::new(arguments.view));
    picture.points("city", cities.iter().map(|city| city.at));
    let stats = tree.stats();
    let height = stats.height();
    for (level, stats) in (0_u32..).zip(&stats.levels) {
        if arguments.level.is_none_or(|wanted| wanted == level) {
            let class = class(level, height);
            let boxes = drawn(tree, level, &picture.map);
            picture.boxes(class, boxes.iter());
            picture.explain(class, explanation(level, height, stats, boxes.len()));
        }
    }
    match arguments.query {
        Query::Near { at, count } => near(&mut picture, tree, cities, at, count),
        Query::Window(sides) => window(&mut picture, tree, sides),
    }
    let how = if arguments.bulk { "loaded at once" } else { "inserted one by one" };
    let nodes: usize = stats.levels.iter().map(|level| level.nodes).sum();
    let (nodes, mebibytes) = (counted(nodes), stats.bytes() as f64 / f64::from(1 << 20));
    let title = format!("An X-tree over {} cities", counted(tree.len()));
    let subtitle = format!("{how}: {height} levels, {nodes} nodes, {mebibytes:.1} MiB");
    picture.finish(&title, &subtitle)
}

/// The boxes of a level that can be seen.
fn drawn(tree: &XTree<2, u32>, level: u32, map: &Map) -> Vec<Rect<2>> {
    let boxes = tree.node_boxes().filter(|(of, rect)| *of == level && map.shows(rect));
    boxes.map(|(_, rect)| rect).collect()
}

fn class(level: u32, height: usize) -> &'static str {
    const CLASSES: [&str; 5] = ["l0", "l1", "l2", "l3", "l4"];
    if level as usize + 1 == height && height > 1 {
        return "top";
    }
    CLASSES[level as usize % CLASSES.len()]
}

fn explanation(level: u32, height: usize, stats: &LevelStats, drawn: usize) -> String {
    let (nodes, rows, full) = (counted(stats.nodes), counted(stats.rows), stats.fill() * 100.0);
    let what = match level {
        0 => format!("level 0: {nodes} leaves with {rows} cities, {full:.0} % full"),
        _ if level as usize + 1 == height => {
            return format!("level {level}: the root, with {rows} children, {full:.0} % full");
        }
        _ => format!("level {level}: {nodes} nodes with {rows} children, {full:.0} % full"),
    };
    let overlap = format!("siblings share {:.2} % of their area", stats.overlap * 100.0);
    let part =
        if drawn == stats.nodes { String::new() } else { format!("; {} in view", counted(drawn)) };
    format!("{what}; {overlap}{part}")
}

fn near(picture: &mut Picture, tree: &XTree<2, u32>, cities: &[City], at: [f64; 2], count: usize) {
    let found = tree.nearest_by(GreatCircle::EARTH, at, count);
    let ways = found.iter().map(|near| great_circle(at, near.rect.min()));
    picture.lines("way", ways);
    picture.points("hit", found.iter().map(|near| near.rect.min()));
    picture.ring("asked", at, 6.0);
    let name = |number: u32| cities[number as usize].name.as_str();
    let ends = found.first().zip(found.last()).map_or_else(String::new, |(first, last)| {
        let far = |distance: f64| counted_f64(distance / 1000.0);
        format!(
            ": {} ({} km) to {} ({} km)",
            name(*first.value),
            far(first.distance),
            name(*last.value),
            far(last.distance)
        )
    });
    let at = place(at);
    picture.explain("hit", format!("the {} cities nearest to {at}{ends}", counted(found.len())));
}

fn window(picture: &mut Picture, tree: &XTree<2, u32>, sides: Sides) {
    let [west, south, east, north] = sides;
    // The arguments were checked when they were read.
    let Ok(rect) = Rect::new([west, south], [east, north]) else { return };
    let found = tree.window(&rect);
    let count = counted(found.clone().count());
    picture.points("hit small", found.map(|(rect, _)| rect.min()));
    picture.outline("asked", &rect);
    let (from, to) = (place(rect.min()), place(rect.max()));
    picture.explain("hit", format!("{count} cities in the window from {from} to {to}"));
}

/// Points of the way from one place to another.
fn great_circle(from: [f64; 2], to: [f64; 2]) -> Vec<[f64; 2]> {
    const STEPS: u32 = 40;
    let vector = |[longitude, latitude]: [f64; 2]| {
        let (sin, cos) = latitude.to_radians().sin_cos();
        let longitude = longitude.to_radians();
        [cos * longitude.cos(), cos * longitude.sin(), sin]
    };
    let (a, b) = (vector(from), vector(to));
    let angle = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>().clamp(-1.0, 1.0).acos();
    if angle < 1e-6 {
        return vec![from, to];
    }
    let point = |step: u32| {
        let part = f64::from(step) / f64::from(STEPS);
        let (near, far) = (((1.0 - part) * angle).sin(), (part * angle).sin());
        let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| near * a[axis] + far * b[axis]);
        [y.atan2(x).to_degrees(), z.atan2(x.hypot(y)).to_degrees()]
    };
    (0..=STEPS).map(point).collect()
}

/// As on maps: 48.9° N 2.4° E.
fn place([longitude, latitude]: [f64; 2]) -> String {
    let (up, aside) =
        (if latitude < 0.0 { 'S' } else { 'N' }, if longitude < 0.0 { 'W' } else { 'E' });
    format!("{:.1}° {up} {:.1}° {aside}", latitude.abs(), longitude.abs())
}

/// With commas between thousands.
fn counted(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[allow(clippy::cast_possible_truncation, reason = "distances on Earth")]
#[allow(clippy::cast_sign_loss, reason = "distances are not negative")]
fn counted_f64(number: f64) -> String {
    counted(number.round() as usize)
}

#[cfg(test)]
mod tests;
