//! Lists that come in pages.

use futures::{Stream, stream};

use crate::{
    Call, Error, ErrorKind,
    model::{OperationPage, Pagination, ProjectPage},
};

/// The most pages that one list has. A server that gave cursors for ever would otherwise never let go.
const PAGES_MAX: u32 = 100_000;

/// One page of a list.
pub(crate) trait Page {
    /// Whether there is nothing on it.
    fn is_empty(&self) -> bool;
    /// Where the next page begins, as the API says.
    fn pagination(&self) -> Option<&Pagination>;
}

impl Page for ProjectPage {
    fn is_empty(&self) -> bool {
        self.projects.is_empty() && self.unavailable_project_ids.is_empty()
    }

    fn pagination(&self) -> Option<&Pagination> {
        self.pagination.as_ref()
    }
}

impl Page for OperationPage {
    fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn pagination(&self) -> Option<&Pagination> {
        self.pagination.as_ref()
    }
}

/// What is to be fetched next.
enum Next {
    First,
    After(String),
    Nothing,
}

/// All pages, one after the other, until one is empty or names no next. The API names a cursor on a page that happens to be the last,
/// so a page that is merely short does not end the list. The stream ends after an error.
pub(crate) fn pages<P: Page>(
    fetch: impl Fn(Option<&str>) -> Call<P>,
) -> impl Stream<Item = Result<P, Error>> {
    stream::unfold(
        (fetch, Next::First, 0_u32),
        |(fetch, next, count)| async move {
            let cursor = match next {
                Next::First => None,
                Next::After(cursor) => Some(cursor),
                Next::Nothing => return None,
            };
            let call = fetch(cursor.as_deref());
            let route = call.route();
            let result = call.send().await.and_then(|page| {
                match following(&page, cursor.as_deref(), count) {
                    Ok(next) => Ok((page, next)),
                    Err(Endless) => Err(Error::new(route, ErrorKind::NotJson).with_source(Endless)),
                }
            });
            Some(match result {
                Ok((page, next)) => (Ok(page), (fetch, next, count + 1)),
                Err(error) => (Err(error), (fetch, Next::Nothing, count + 1)),
            })
        },
    )
}

/// The list does not end: a page with something on it leads back to itself, or there are too many.
#[derive(Debug, thiserror::Error)]
#[error("the list does not end: a page leads back to itself, or there are more than {PAGES_MAX}")]
struct Endless;

fn following(page: &impl Page, cursor: Option<&str>, count: u32) -> Result<Next, Endless> {
    match page.pagination() {
        _ if page.is_empty() => Ok(Next::Nothing),
        None => Ok(Next::Nothing),
        Some(Pagination { cursor: next }) if next.is_empty() => Ok(Next::Nothing),
        Some(Pagination { cursor: next })
            if cursor == Some(next.as_str()) || count >= PAGES_MAX =>
        {
            Err(Endless)
        }
        Some(Pagination { cursor: next }) => Ok(Next::After(next.clone())),
    }
}
