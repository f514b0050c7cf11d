//! Pagination of lists.

use futures::{Stream, TryStreamExt, stream};

use crate::{
    Call, Error, ErrorKind,
    model::{
        BranchConsumptionPage, BranchPage, OperationPage, Pagination, ProjectConsumptionPage,
        ProjectPage,
    },
};

/// Maximum number of pages of a list. Without a limit, a server that always returns a cursor would
/// never end the loop.
const MAX_PAGES: u32 = 100_000;

pub(crate) trait Page {
    /// Whether the page has no items.
    fn is_empty(&self) -> bool;
    /// Cursor of the next page. The API has two pagination styles.
    fn next(&self) -> Option<&str>;
}

/// Cursor of the pagination style that uses `pagination.cursor`.
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

/// Flattens a stream of pages into a stream of items.
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

enum NextPage {
    First,
    After(String),
    End,
}

/// Streams the pages until one is empty or has no cursor. A page with fewer items than the limit
/// does not end the list, because the API may return a cursor on the last page too. The stream ends
/// after an error.
pub(crate) fn pages<P: Page>(
    fetch: impl Fn(Option<&str>) -> Call<P>,
) -> impl Stream<Item = Result<P, Error>> {
    stream::unfold(
        (fetch, NextPage::First, 0_u32),
        |(fetch, next, count)| async move {
            let cursor = match next {
                NextPage::First => None,
                NextPage::After(cursor) => Some(cursor),
                NextPage::End => return None,
            };
            let call = fetch(cursor.as_deref());
            let route = call.route();
            let result = call.send().await.and_then(|page| {
                match next_page(&page, cursor.as_deref(), count) {
                    Ok(next) => Ok((page, next)),
                    Err(EndlessList) => {
                        Err(Error::new(route, ErrorKind::InvalidResponse).with_source(EndlessList))
                    }
                }
            });
            Some(match result {
                Ok((page, next)) => (Ok(page), (fetch, next, count + 1)),
                Err(error) => (Err(error), (fetch, NextPage::End, count + 1)),
            })
        },
    )
}

/// The list is endless: a page with items refers to itself, or the list has too many pages.
#[derive(Debug, thiserror::Error)]
#[error("endless list: a page refers to itself, or there are more than {MAX_PAGES} pages")]
struct EndlessList;

fn next_page(page: &impl Page, cursor: Option<&str>, count: u32) -> Result<NextPage, EndlessList> {
    match page.next() {
        _ if page.is_empty() => Ok(NextPage::End),
        None | Some("") => Ok(NextPage::End),
        Some(next) if cursor == Some(next) || count >= MAX_PAGES => Err(EndlessList),
        Some(next) => Ok(NextPage::After(next.to_owned())),
    }
}
