//! Finds the horizontal and vertical lines in drawn paths.

use hayro_interpret::DrawMode;
use hayro_interpret::kurbo::{Affine, BezPath, PathEl, Point, Rect};

use crate::layout::Rulings;

/// Maximum number of elements of a path that is examined. Longer ones are drawings.
const MAX_ELEMENTS: usize = 4_000;

/// Adds the straight lines of a path.
pub(super) fn add(path: &BezPath, transform: Affine, mode: &DrawMode, rulings: &mut Rulings) {
    let elements = path.elements();
    if elements.len() > MAX_ELEMENTS {
        return;
    }
    let is_fill = matches!(mode, DrawMode::Fill(_));
    for subpath in elements.split_inclusive(|element| matches!(element, PathEl::ClosePath)) {
        if let (true, Some(rect)) = (is_fill, rectangle(subpath)) {
            add_rectangle(rect, transform, mode, rulings);
            continue;
        }
        let (mut start, mut last) = (Point::ZERO, Point::ZERO);
        for element in subpath {
            match *element {
                PathEl::MoveTo(point) => (start, last) = (point, point),
                PathEl::LineTo(point) => {
                    add_line(last, point, transform, rulings);
                    last = point;
                }
                PathEl::QuadTo(_, point) | PathEl::CurveTo(_, _, point) => last = point,
                PathEl::ClosePath => add_line(last, start, transform, rulings),
            }
        }
    }
}

/// Adds a rectangle: the line that it is if it is thin, or its sides.
pub(super) fn add_rectangle(rect: Rect, transform: Affine, mode: &DrawMode, rulings: &mut Rulings) {
    let a = transform * Point::new(rect.x0, rect.y0);
    let b = transform * Point::new(rect.x1, rect.y1);
    if matches!(mode, DrawMode::Fill(_) | DrawMode::Stroke(_)) {
        rulings.rectangle((a.x, a.y), (b.x, b.y));
    }
}

fn add_line(a: Point, b: Point, transform: Affine, rulings: &mut Rulings) {
    let (a, b) = (transform * a, transform * b);
    rulings.line((a.x, a.y), (b.x, b.y));
}

/// Returns the rectangle that a closed path of lines is.
fn rectangle(subpath: &[PathEl]) -> Option<Rect> {
    let mut points = Vec::with_capacity(5);
    for element in subpath {
        match *element {
            PathEl::MoveTo(point) | PathEl::LineTo(point) => points.push(point),
            PathEl::ClosePath => {}
            PathEl::QuadTo(..) | PathEl::CurveTo(..) => return None,
        }
    }
    let is_corner = |pair: &[Point]| match pair {
        [a, b] => (a.x - b.x).abs() < 0.01 || (a.y - b.y).abs() < 0.01,
        _ => true,
    };
    if !(4..=5).contains(&points.len()) || !points.windows(2).all(is_corner) {
        return None;
    }
    Some(Rect::from_points(*points.first()?, *points.get(2)?))
}
