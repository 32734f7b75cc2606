//! SVG by hand: shapes on a map of the globe, and text around it.

use super::args::Sides;
use std::collections::BTreeSet;
use std::fmt::Write;
use stillheap::Rect;

/// Pixels of the picture, and of what surrounds the map.
const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 44.0;
const ABOVE: f64 = 116.0;
/// Of a line in the legend.
const LINE: f64 = 30.0;

/// The map's projection: degrees are drawn in proportion in the middle of the view.
#[derive(Clone, Copy)]
pub(crate) struct Map {
    view: Sides,
    scale: [f64; 2],
    pub(crate) size: [f64; 2],
}

impl Map {
    pub(crate) fn new(view: Sides) -> Self {
        let [west, south, east, north] = view;
        let x = (WIDTH - 2.0 * MARGIN) / (east - west);
        let y = x / f64::midpoint(south, north).to_radians().cos().max(0.2);
        let size = [x * (east - west), y * (north - south)];
        Self { view, scale: [x, y], size }
    }

    pub(crate) fn at(&self, [longitude, latitude]: [f64; 2]) -> [f64; 2] {
        let [west, _, _, north] = self.view;
        [(longitude - west) * self.scale[0], (north - latitude) * self.scale[1]]
    }

    pub(crate) fn shows(&self, rect: &Rect<2>) -> bool {
        let [west, south, east, north] = self.view;
        let (min, max) = (rect.min(), rect.max());
        min[0] <= east && max[0] >= west && min[1] <= north && max[1] >= south
    }

    /// Its corner above to the left, then width and height.
    fn frame(&self, rect: &Rect<2>) -> [f64; 4] {
        let ([x, y], [right, below]) =
            (self.at([rect.min()[0], rect.max()[1]]), self.at([rect.max()[0], rect.min()[1]]));
        // A box of points in a row would not be seen.
        [x, y, (right - x).max(0.1), (below - y).max(0.1)]
    }
}

/// A picture under way. What is drawn later covers what was drawn before.
pub(crate) struct Picture {
    pub(crate) map: Map,
    body: String,
    legend: Vec<(&'static str, String)>,
}

impl Picture {
    pub(crate) fn new(map: Map) -> Self {
        let mut picture = Self { map, body: String::new(), legend: Vec::new() };
        let meridians = (-5..=5).map(|turn| [[turn, -3], [turn, 3]]);
        let parallels = (-2..=2).map(|up| [[-6, up], [6, up]]);
        let lines = meridians.chain(parallels);
        let lines = lines.map(|line| line.map(|end| end.map(|at| f64::from(at * 30))).to_vec());
        picture.lines("net", lines);
        picture
    }

    fn add(&mut self, shape: std::fmt::Arguments<'_>) {
        // A String takes all that is written to it.
        let _ = self.body.write_fmt(shape);
        self.body.push('\n');
    }

    /// Boxes, each as a `rect`.
    pub(crate) fn boxes<'a>(&mut self, class: &str, boxes: impl Iterator<Item = &'a Rect<2>>) {
        self.add(format_args!("<g class=\"box {class}\">"));
        for rect in boxes {
            let [x, y, width, height] = self.map.frame(rect);
            let place = format!("x=\"{x:.1}\" y=\"{y:.1}\"");
            self.add(format_args!("<rect {place} width=\"{width:.1}\" height=\"{height:.1}\"/>"));
        }
        self.add(format_args!("</g>"));
    }

    /// The outline of one box, as a path: only nodes are `rect`s.
    pub(crate) fn outline(&mut self, class: &str, rect: &Rect<2>) {
        let [x, y, width, height] = self.map.frame(rect);
        let way = format!("M{x:.1} {y:.1}h{width:.1}v{height:.1}h{:.1}z", -width);
        self.add(format_args!("<path class=\"{class}\" d=\"{way}\"/>"));
    }

    /// Points, each once for half a pixel.
    #[allow(clippy::cast_possible_truncation, reason = "pixels are small numbers")]
    pub(crate) fn points(&mut self, class: &str, points: impl Iterator<Item = [f64; 2]>) {
        let map = self.map;
        let inside = |at: &[f64; 2]| (0..2).all(|axis| (0.0..=map.size[axis]).contains(&at[axis]));
        let places = points.map(|point| map.at(point)).filter(inside);
        let places: BTreeSet<[i32; 2]> =
            places.map(|at| at.map(|at| (at * 2.0).round() as i32)).collect();
        let mut way = String::new();
        for [x, y] in places {
            let [x, y] = [x, y].map(|at| f64::from(at) / 2.0);
            let _ = write!(way, "M{x} {y}h0");
        }
        self.add(format_args!("<path class=\"{class}\" d=\"{way}\"/>"));
    }

    /// Lines through points; broken where they cross the 180th meridian.
    pub(crate) fn lines(&mut self, class: &str, lines: impl Iterator<Item = Vec<[f64; 2]>>) {
        let mut way = String::new();
        for line in lines {
            let mut before: Option<f64> = None;
            for point in line {
                let goes_on = before
                    .is_some_and(|before| class == "net" || (before - point[0]).abs() < 180.0);
                let [x, y] = self.map.at(point);
                let _ = write!(way, "{}{x:.1} {y:.1}", if goes_on { 'L' } else { 'M' });
                before = Some(point[0]);
            }
        }
        self.add(format_args!("<path class=\"{class}\" d=\"{way}\"/>"));
    }

    pub(crate) fn ring(&mut self, class: &str, at: [f64; 2], radius: f64) {
        let [x, y] = self.map.at(at);
        let place = format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"");
        self.add(format_args!("<circle class=\"{class}\" {place}/>"));
    }

    /// A line of the legend, with a stroke of what it explains before it.
    pub(crate) fn explain(&mut self, class: &'static str, text: String) {
        self.legend.push((class, text));
    }

    /// The whole file.
    pub(crate) fn finish(self, title: &str, subtitle: &str) -> String {
        let [width, height] = self.map.size;
        let below = ABOVE + height + 24.0;
        let all = below + LINE * self.legend.len() as f64 + 30.0;
        let mut file = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {all:.0}\" \
             width=\"{WIDTH}\" height=\"{all:.0}\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n<path class=\"page\" d=\"M0 0H{WIDTH}V{all:.0}H0z\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"58\">{title}</text>\n\
             <text class=\"text\" x=\"{MARGIN}\" y=\"92\">{subtitle}</text>\n\
             <svg x=\"{MARGIN}\" y=\"{ABOVE}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             overflow=\"hidden\">\n<path class=\"sea\" d=\"M0 0H{width:.1}V{height:.1}H0z\"/>\n",
            title = escaped(title),
            subtitle = escaped(subtitle),
        );
        file.push_str(&self.body);
        file.push_str("</svg>\n");
        for (row, (class, text)) in self.legend.iter().enumerate() {
            let y = below + LINE * (row as f64 + 0.7);
            let _ = writeln!(
                file,
                "<path class=\"{class} key\" d=\"M{MARGIN} {:.1}h44\"/>\n\
                 <text class=\"text\" x=\"{}\" y=\"{y:.1}\">{}</text>",
                y - 6.0,
                MARGIN + 62.0,
                escaped(text)
            );
        }
        file.push_str("</svg>\n");
        file
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Classes `l0` to `l4` are the levels, leaves first; `top` is the root.
const STYLE: &str = "
text{font-family:'Inter','Helvetica Neue',Arial,sans-serif}
.page{fill:#0a101d}.sea{fill:#0e1728}
.net{fill:none;stroke:#1d2b45;stroke-width:1}
.title{fill:#f3f6fb;font-size:36px;font-weight:600}
.text{fill:#a9b7cf;font-size:19px}
.city{fill:none;stroke:#9dbcf0;stroke-width:1.1;stroke-linecap:round;stroke-opacity:.75}
.l0{stroke:#36cfc0;fill:#36cfc0}.l1{stroke:#ffb84d;fill:#ffb84d}
.l2{stroke:#ff6f91;fill:#ff6f91}.l3{stroke:#a98bff;fill:#a98bff}
.l4{stroke:#8ee06b;fill:#8ee06b}.top{stroke:#f3f6fb;fill:none}
.box{fill-opacity:.03;stroke-width:.7;stroke-opacity:.85}
.box.l1{stroke-width:1.3;stroke-opacity:.95;fill-opacity:.012}
.box.l2,.box.l3,.box.l4{stroke-width:1.8;stroke-opacity:1;fill-opacity:0}
.box.top{stroke-width:2;fill:none;stroke-dasharray:10 6}
.way{fill:none;stroke:#fff27a;stroke-width:.8;stroke-opacity:.5}
.hit{fill:none;stroke:#fff27a;stroke-width:3.2;stroke-linecap:round}
.small{stroke-width:1.5}
.asked{fill:none;stroke:#fff;stroke-width:2.2}
.key{stroke-width:3;stroke-dasharray:none}";
