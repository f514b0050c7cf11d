//! Lists that come in pages.

use futures::{Stream, TryStreamExt, stream};

use crate::{
    Call, Error, ErrorKind,
    model::{
        BranchConsumptionPage, BranchPage, OperationPage, Pagination, ProjectConsumptionPage,
        ProjectPage,
    },
};

/// The most pages that one list has. A server that gave cursors for ever would otherwise never let go.
const PAGES_MAX: u32 = 100_000;

/// One page of a list.
pub(crate) trait Page {
    /// Whether there is nothing on it.
    fn is_empty(&self) -> bool;
    /// Where the next page begins, as the API says in one of its two styles.
    fn next(&self) -> Option<&str>;
}

/// The style whose cursor stands in `pagination.cursor`.
fn cursor(pagination: Option<&Pagination>) -> Option<&str> {
    pagination.map(|pagination| pagination.cursor.as_str())
}

impl Page for ProjectPage {
    fn is_empty(&self) -> bool {
        self.projects.is_empty() && self.unavailable_project_ids.is_empty()
    }

    fn next(&self) -> Option<&str> {
        cursor(self.pagination.as_ref())
    }
}

impl Page for OperationPage {
    fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn next(&self) -> Option<&str> {
        cursor(self.pagination.as_ref())
    }
}

impl Page for ProjectConsumptionPage {
    fn is_empty(&self) -> bool {
        self.projects.is_empty()
    }

    fn next(&self) -> Option<&str> {
        cursor(self.pagination.as_ref())
    }
}

impl Page for BranchConsumptionPage {
    fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    fn next(&self) -> Option<&str> {
        cursor(self.pagination.as_ref())
    }
}

impl Page for BranchPage {
    fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    fn next(&self) -> Option<&str> {
        self.pagination.as_ref()?.next.as_deref()
    }
}

/// What stands on the pages, one by one.
pub(crate) fn items<P, T>(
    pages: impl Stream<Item = Result<P, Error>> + Send,
    of: impl Fn(P) -> Vec<T> + Send,
) -> impl Stream<Item = Result<T, Error>> + Send
where
    P: Send,
    T: Send,
{
    pages
        .map_ok(move |page| stream::iter(of(page).into_iter().map(Ok)))
        .try_flatten()
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
    match page.next() {
        _ if page.is_empty() => Ok(Next::Nothing),
        None | Some("") => Ok(Next::Nothing),
        Some(next) if cursor == Some(next) || count >= PAGES_MAX => Err(Endless),
        Some(next) => Ok(Next::After(next.to_owned())),
    }
}
