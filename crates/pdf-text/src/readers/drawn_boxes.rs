//! Boxes to tick that are drawn as lines, and the marks that are drawn in them. A square is a box to
//! tick if it is empty or has only a mark, is beside text, and is not the cell of a table.

use hayro_interpret::kurbo::{Affine, BezPath, PathEl, Point, Rect};
use hayro_interpret::{DrawMode, Paint};

use super::form_fields::{NOT_TICKED, TICKED, write};
use crate::layout::PageBuilder;

/// Minimum and maximum length of the sides of a box, in points.
const MIN_SIDE: f64 = 5.0;
const MAX_SIDE: f64 = 18.0;
/// Maximum ratio of the sides of a box.
const MAX_SIDE_RATIO: f64 = 1.25;
/// Maximum distance of lines that meet, and maximum thickness of a line, in points.
const NEAR: f64 = 1.5;
/// Minimum size of a mark, and maximum size of one that is a rectangle, as shares of the box's side.
const MIN_MARK: f64 = 0.3;
const MAX_RECTANGLE_MARK: f64 = 0.85;
const MAX_MARK: f64 = 1.6;
/// Maximum distance of a box from its text, as a multiple of its side.
const MAX_TEXT_DISTANCE: f64 = 3.0;
/// Minimum lightness of paint that is not visible on paper, of 255.
const WHITE: u8 = 245;
/// Maximum number of elements of a path that is examined, and of small shapes of a page. A page with
/// more is a drawing.
const MAX_ELEMENTS: usize = 64;
const MAX_SHAPES: usize = 1_000;

/// Small shapes of a page, in points from its top left corner.
#[derive(Default)]
pub(super) struct DrawnBoxes {
    outlines: Vec<Rect>,
    /// Filled squares, such as bullets and keys of charts.
    filled: Vec<Rect>,
    horizontal: Vec<Rect>,
    vertical: Vec<Rect>,
    marks: Vec<Mark>,
}

struct Mark {
    bounds: Rect,
    is_rectangle: bool,
}

/// A part of a path.
struct Shape {
    bounds: Rect,
    /// Whether all its lines are horizontal or vertical.
    is_straight: bool,
    is_rectangle: bool,
}

impl DrawnBoxes {
    pub(super) fn add(
        &mut self,
        path: &BezPath,
        transform: Affine,
        mode: &DrawMode,
        paint: &Paint<'_>,
    ) {
        let elements = path.elements();
        if elements.len() > MAX_ELEMENTS || self.count() > MAX_SHAPES {
            return;
        }
        let is_fill = match mode {
            DrawMode::Fill(_) => true,
            DrawMode::Stroke(_) | DrawMode::FillAndStroke(..) => false,
            DrawMode::Invisible => return,
        };
        let mut shapes = shapes(elements, transform);
        shapes
            .retain(|shape| shape.bounds.width().max(shape.bounds.height()) <= MAX_SIDE * MAX_MARK);
        if shapes.is_empty() || is_white(paint) {
            return;
        }
        let is_frame = |outer: &Shape| {
            shapes.iter().any(|inner| {
                inner.is_rectangle
                    && inner.bounds.width() < outer.bounds.width()
                    && contains(outer.bounds, inner.bounds.center())
            })
        };
        for shape in &shapes {
            let Rect { x0, y0, x1, y1 } = shape.bounds;
            let (width, height) = (x1 - x0, y1 - y0);
            let is_square = shape.is_rectangle && is_square(shape.bounds);
            if is_square && (!is_fill || is_frame(shape)) {
                self.outlines.push(shape.bounds);
            } else if is_square {
                self.filled.push(shape.bounds);
            }
            if shape.is_straight && width.max(height) >= MIN_SIDE && width.min(height) <= NEAR {
                let lines = if width > height {
                    &mut self.horizontal
                } else {
                    &mut self.vertical
                };
                lines.push(shape.bounds);
            } else if !shape.is_straight || (is_fill && shape.is_rectangle) {
                self.marks.push(Mark {
                    bounds: shape.bounds,
                    is_rectangle: shape.is_rectangle,
                });
            }
        }
    }

    pub(super) fn add_rectangle(
        &mut self,
        rect: Rect,
        transform: Affine,
        mode: &DrawMode,
        paint: &Paint<'_>,
    ) {
        let corners = [
            PathEl::MoveTo(Point::new(rect.x0, rect.y0)),
            PathEl::LineTo(Point::new(rect.x1, rect.y0)),
            PathEl::LineTo(Point::new(rect.x1, rect.y1)),
            PathEl::LineTo(Point::new(rect.x0, rect.y1)),
            PathEl::ClosePath,
        ];
        self.add(&BezPath::from_vec(corners.to_vec()), transform, mode, paint);
    }

    fn count(&self) -> usize {
        self.outlines.len()
            + self.filled.len()
            + self.horizontal.len()
            + self.vertical.len()
            + self.marks.len()
    }

    /// Writes the state of the boxes on the page.
    pub(super) fn write(mut self, page: &mut PageBuilder) {
        if self.count() > MAX_SHAPES {
            return;
        }
        self.add_squares_of_lines();
        let mut boxes: Vec<Rect> = Vec::new();
        for outline in self.outlines.drain(..) {
            if !boxes.iter().any(|other| contains(*other, outline.center())) {
                boxes.push(outline);
            }
        }
        for &area in &boxes {
            let is_filled = self
                .filled
                .iter()
                .any(|filled| contains(*filled, area.center()));
            let is_cell = boxes.iter().any(|other| touch(area, *other))
                || page
                    .rulings
                    .continue_beyond(area.x0..area.x1, area.y0..area.y1);
            if is_filled || is_cell {
                continue;
            }
            let down = area.y0..area.y1 + NEAR;
            let (Some(has_tick), Some((baseline, em))) = (
                page.has_only_ticks(area.x0..area.x1, down.clone()),
                text_beside(page, area),
            ) else {
                continue;
            };
            let is_ticked = has_tick || self.marks.iter().any(|mark| mark.is_in(area));
            page.remove_marks_in(area.x0..area.x1, down);
            let value = if is_ticked { TICKED } else { NOT_TICKED };
            write(value, (area.x0, baseline), em.min(area.width() / 1.5), page);
        }
    }

    /// Adds the squares whose sides are separate lines.
    fn add_squares_of_lines(&mut self) {
        let near = |a: f64, b: f64| (a - b).abs() <= NEAR;
        for (at, top) in self.horizontal.iter().enumerate() {
            for bottom in self.horizontal.get(at + 1..).unwrap_or_default() {
                let area = top.union(*bottom);
                let has_side = |x: f64| {
                    self.vertical.iter().any(|side| {
                        near(side.center().x, x) && near(side.y0, area.y0) && near(side.y1, area.y1)
                    })
                };
                if near(top.x0, bottom.x0)
                    && near(top.x1, bottom.x1)
                    && is_square(area)
                    && has_side(area.x0)
                    && has_side(area.x1)
                {
                    self.outlines.push(area);
                }
            }
        }
    }
}

impl Mark {
    fn is_in(&self, area: Rect) -> bool {
        let size = self.bounds.width().max(self.bounds.height());
        let max = if self.is_rectangle {
            MAX_RECTANGLE_MARK
        } else {
            MAX_MARK
        };
        contains(area, self.bounds.center())
            && (MIN_MARK * area.width()..=max * area.width()).contains(&size)
    }
}

fn is_white(paint: &Paint<'_>) -> bool {
    match paint {
        Paint::Color(color) => {
            let [red, green, blue, alpha] = color.to_rgba().to_rgba8();
            alpha == 0 || red.min(green).min(blue) >= WHITE
        }
        Paint::Pattern(_) => false,
    }
}

fn is_square(area: Rect) -> bool {
    let (short, long) = (
        area.width().min(area.height()),
        area.width().max(area.height()),
    );
    short >= MIN_SIDE && long <= MAX_SIDE && long <= MAX_SIDE_RATIO * short
}

fn contains(area: Rect, point: Point) -> bool {
    (area.x0..=area.x1).contains(&point.x) && (area.y0..=area.y1).contains(&point.y)
}

/// Whether two boxes have a side in common, as the cells of a table have.
fn touch(a: Rect, b: Rect) -> bool {
    let overlap_x = a.x1.min(b.x1) - a.x0.max(b.x0);
    let overlap_y = a.y1.min(b.y1) - a.y0.max(b.y0);
    let is_other = !contains(a, b.center());
    is_other
        && overlap_x >= -NEAR
        && overlap_y >= -NEAR
        && overlap_x.max(overlap_y) >= MIN_SIDE / 2.0
}

/// Returns the baseline and size of the nearest text beside a box.
fn text_beside(page: &PageBuilder, area: Rect) -> Option<(f64, f64)> {
    let side = area.height();
    let nearest = page
        .words
        .iter()
        .filter(|word| {
            let baseline = f64::from(word.baseline);
            word.angle == 0 && (area.y0 + 0.25 * side..=area.y1 + 0.5 * side).contains(&baseline)
        })
        .map(|word| {
            let right = f64::from(word.from) - area.x1;
            let left = area.x0 - f64::from(word.to);
            (right.max(left), word)
        })
        .filter(|(distance, _)| (0.0..=MAX_TEXT_DISTANCE * side).contains(distance))
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, word)| (f64::from(word.baseline), f64::from(word.em)))
}

/// Returns the parts of a path, in points of the page.
fn shapes(elements: &[PathEl], transform: Affine) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut points: Vec<Point> = Vec::new();
    let mut has_curve = false;
    let mut finish = |points: &mut Vec<Point>, has_curve: &mut bool| {
        shapes.extend(shape(points, *has_curve));
        points.clear();
        *has_curve = false;
    };
    for element in elements {
        match *element {
            PathEl::MoveTo(point) => {
                finish(&mut points, &mut has_curve);
                points.push(transform * point);
            }
            PathEl::LineTo(point) => points.push(transform * point),
            PathEl::QuadTo(control, point) => {
                has_curve = true;
                points.extend([transform * control, transform * point]);
            }
            PathEl::CurveTo(first, second, point) => {
                has_curve = true;
                points.extend([transform * first, transform * second, transform * point]);
            }
            PathEl::ClosePath => {
                let first = points.first().copied();
                points.extend(first);
            }
        }
    }
    finish(&mut points, &mut has_curve);
    shapes
}

fn shape(points: &[Point], has_curve: bool) -> Option<Shape> {
    let first = *points.first()?;
    let bounds = points
        .iter()
        .fold(Rect::from_points(first, first), |bounds, point| {
            bounds.union_pt(*point)
        });
    let is_line = |pair: &[Point]| match pair {
        [a, b] => (a.x - b.x).abs() <= 0.5 || (a.y - b.y).abs() <= 0.5,
        _ => true,
    };
    let is_straight = !has_curve && points.windows(2).all(is_line);
    let is_closed = points
        .last()
        .is_some_and(|last| (last.x - first.x).abs() <= 0.5 && (last.y - first.y).abs() <= 0.5);
    bounds.is_finite().then_some(Shape {
        bounds,
        is_straight,
        is_rectangle: is_straight && is_closed && (5..=6).contains(&points.len()),
    })
}
