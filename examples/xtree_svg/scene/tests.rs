//! What is drawn is well-formed, and has a `rect` for each box.

use super::*;

/// Cities on a net, some with names that SVG must not take for tags.
fn small() -> (Vec<City>, XTree<2, u32>) {
    let city = |number: u32| {
        let at = [number * 37 % 351, number * 53 % 131].map(f64::from);
        City { name: format!("<{number} & co>"), at: [at[0] - 175.0, at[1] - 60.0] }
    };
    let cities: Vec<City> = (0..3000).map(city).collect();
    let arguments = Arguments { rows: Some(16), ..Arguments::default() };
    let tree = crate::tree(&cities, &arguments).expect("numbers");
    (cities, tree)
}

/// Panics unless each tag is closed, in order, and text has no stray signs.
fn check_tags(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        assert!(!text.contains('>'), "{text}");
        let ands = text.matches('&').count();
        let known = ["&amp;", "&lt;", "&gt;"].map(|sign| text.matches(sign).count());
        assert_eq!(ands, known.iter().sum::<usize>(), "{text}");
        let end = tag.find('>').expect("the end of a tag");
        let inner = &tag[1..end];
        assert!(!inner.contains('<') && inner.matches('"').count().is_multiple_of(2), "{inner}");
        let name = inner.split_whitespace().next().expect("a name");
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if !inner.ends_with('/') => open.push(name),
            None => {}
        }
        rest = &tag[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
}

#[test]
fn a_picture_is_well_formed_and_has_every_box() {
    let (cities, tree) = small();
    let height = tree.stats().height();
    assert!(height > 2);
    let window = Query::Window([-20.0, -30.0, 60.0, 40.0]);
    let near = Query::Near { at: [170.0, -10.0], count: 50 };
    for query in [window, near, Query::Near { at: [0.0, 90.0], count: 0 }] {
        let whole = Arguments { query, ..Arguments::default() };
        let svg = draw(&tree, &cities, &whole);
        check_tags(&svg);
        assert!(!svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("<rect ").count(), tree.node_boxes().count());
        for (level, stats) in (0..).zip(&tree.stats().levels) {
            let one = Arguments { level: Some(level), ..whole.clone() };
            assert_eq!(draw(&tree, &cities, &one).matches("<rect ").count(), stats.nodes);
        }
    }
}

#[test]
fn a_part_of_the_globe_has_a_part_of_the_boxes() {
    let (cities, tree) = small();
    let view = [0.0, 0.0, 30.0, 30.0];
    let svg = draw(&tree, &cities, &Arguments { view, ..Arguments::default() });
    check_tags(&svg);
    let part = svg.matches("<rect ").count();
    assert!(part > 2 && part < tree.node_boxes().count());
    let window = Rect::new([0.0, 0.0], [30.0, 30.0]).expect("a box");
    let meeting = tree.node_boxes().filter(|(_, rect)| rect.intersects(&window));
    assert_eq!(part, meeting.count());
}

#[test]
fn the_cities_are_read() {
    assert_eq!(crate::cities().expect("the file is sound").len(), 171_075);
    assert_eq!(counted(171_075), "171,075");
    assert_eq!(place([-2.35, 48.86]), "48.9° N 2.4° W");
}
