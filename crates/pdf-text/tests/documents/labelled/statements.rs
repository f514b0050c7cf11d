//! Documents of several pages whose lines repeat: bank statements, and files of many invoices.

use super::helvetica::width;
use super::{Labelled, phrase};
use crate::pdf::{Id, Pdf, line};
use crate::random::Random;

const SIZE: f64 = 9.0;

fn right(x: f64, y: f64, text: &str) -> String {
    line(x - width(text, SIZE), y, SIZE, text)
}

/// Returns a bank statement. Many of its entries are equal, and have amounts in one of two columns.
pub(super) fn document(random: &mut Random) -> Labelled {
    let mut pdf = Pdf::default();
    let mut lines = Vec::new();
    let mut pages: Vec<Id> = Vec::new();
    let leading = 12.0 + f64::from(u8::try_from(random.below(4)).unwrap_or(0));
    let page_count = 3 + random.below(4);
    for number in 1..=page_count {
        let mut content = line(50.0, 770.0, SIZE, "Savings Bank of the Islands");
        content += &right(550.0, 770.0, &format!("Page {number} of {page_count}"));
        let mut y = 730.0;
        content += &line(50.0, y, SIZE, "Date");
        content += &line(110.0, y, SIZE, "Entry");
        content += &right(380.0, y, "Debit");
        content += &right(460.0, y, "Credit");
        content += &right(550.0, y, "Balance");
        while y > 60.0 {
            y -= leading;
            let date = format!("{:02}/0{number}", 1 + random.below(28));
            let entry = ["Standing order", "Salary", "Rent", "ATM withdrawal"][random.below(4)];
            let amount = ["25.00", "1,331.19", "800.00"][random.below(3)];
            let balance = format!("{}.{:02}", 100 + random.below(900), random.below(100));
            content += &line(50.0, y, SIZE, &date);
            content += &line(110.0, y, SIZE, entry);
            content += &right(550.0, y, &balance);
            let is_credit = random.below(3) == 0;
            content += &right(if is_credit { 460.0 } else { 380.0 }, y, amount);
            lines.push(if is_credit {
                format!("{date}\t{entry}\t\t{amount}\t{balance}")
            } else {
                format!("{date}\t{entry}\t{amount}\t\t{balance}")
            });
        }
        pages.push(pdf.page(&content, "", ""));
    }
    Labelled {
        file: pdf.finish(&pages),
        lines,
    }
}

/// Returns a file with one invoice on each page. Its numbers, dates and totals are at the edges.
pub(super) fn invoices(random: &mut Random) -> Labelled {
    let mut pdf = Pdf::default();
    let mut lines = Vec::new();
    let mut pages: Vec<Id> = Vec::new();
    let first = 1 + random.below(3) * 400;
    let is_total_equal = random.below(2) == 0;
    for index in 0..5 + random.below(5) {
        let number = (first + index).to_string();
        let mut content = line(50.0, 775.0, SIZE, "Berg & Son Ltd, Aldersund");
        content += &line(380.0, 775.0, SIZE, "Invoice no.");
        content += &right(550.0, 775.0, &number);
        lines.push(format!("Berg & Son Ltd, Aldersund\tInvoice no.\t{number}"));
        let mut y = 700.0;
        for _ in 0..3 + random.below(4) {
            let item = phrase(random, 3);
            let amount = format!("{}.{:02}", 1 + random.below(90), random.below(100));
            content += &line(50.0, y, SIZE, &item);
            content += &right(550.0, y, &amount);
            lines.push(format!("{item}\t{amount}"));
            y -= 14.0;
        }
        let total = if is_total_equal { 120 } else { 90 + index * 7 };
        let total = format!("Total due {total}.00 by {} May", 1 + index);
        content += &line(50.0, 40.0, SIZE, &total);
        lines.push(total);
        pages.push(pdf.page(&content, "", ""));
    }
    Labelled {
        file: pdf.finish(&pages),
        lines,
    }
}
