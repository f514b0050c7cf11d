//! The questions, with the pages that answer them. One half is for tuning, the other for reporting.

use anyhow::{Context as _, Result, ensure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// For choosing weights and thresholds.
    Tuning,
    /// For the figures in the documentation.
    Report,
}

impl Half {
    pub(crate) const ALL: [Self; 2] = [Self::Tuning, Self::Report];

    pub(crate) fn questions(self) -> Result<Vec<Question>> {
        let text = match self {
            Self::Tuning => include_str!("tuning.tsv"),
            Self::Report => include_str!("report.tsv"),
        };
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| Question::parse(line).with_context(|| format!("in `{line}`")))
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) text: String,
    /// `None` for an off-topic question.
    pub(crate) answer: Option<Answer>,
}

/// Where a question is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// File name.
    pub(crate) document: String,
    pub(crate) pages: Vec<u32>,
    /// Text on the first of these pages. If it is missing, another version of the document was
    /// downloaded.
    pub(crate) text: String,
}

impl Question {
    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [document, pages, text, evidence] = fields[..] else {
            anyhow::bail!("a question has four fields, separated by tabs");
        };
        ensure!(!text.is_empty(), "the question is empty");
        let answer = match document {
            "-" => None,
            _ => Some(Answer {
                document: document.to_owned(),
                pages: pages
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .context("pages are numbers, separated by commas")?,
                text: evidence.to_owned(),
            }),
        };
        Ok(Self {
            text: text.to_owned(),
            answer,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    const MIN_QUESTIONS: usize = 120;
    const MIN_MANUALS: usize = 12;
    const MIN_FORMS: usize = 6;

    #[test]
    fn both_halves_ask_about_every_document_and_no_question_is_in_both() {
        let documents = |half: Half| -> BTreeSet<String> {
            half.questions()
                .expect("the questions are valid")
                .into_iter()
                .filter_map(|question| Some(question.answer?.document))
                .collect()
        };
        let named = documents(Half::Tuning);
        assert_eq!(named, documents(Half::Report));
        let generated: BTreeSet<String> = crate::forms::all()
            .into_iter()
            .map(|form| form.file_name.to_owned())
            .collect();
        assert!(generated.is_subset(&named), "{generated:?}");
        assert!(generated.len() >= MIN_FORMS);
        assert!(named.len() - generated.len() >= MIN_MANUALS);
        let questions: Vec<Question> = Half::ALL
            .iter()
            .flat_map(|half| half.questions().expect("the questions are valid"))
            .collect();
        let answerable = questions
            .iter()
            .filter(|question| question.answer.is_some());
        assert!(answerable.count() >= MIN_QUESTIONS);
        let texts: HashSet<&str> = questions.iter().map(|question| &*question.text).collect();
        assert_eq!(texts.len(), questions.len());
    }

    #[test]
    fn the_answers_in_generated_documents_are_on_the_pages_given() {
        let forms = crate::forms::all();
        for half in Half::ALL {
            for question in half.questions().expect("the questions are valid") {
                let Some(answer) = question.answer else {
                    continue;
                };
                let Some(form) = forms.iter().find(|form| form.file_name == answer.document) else {
                    continue;
                };
                let page = &form.pages[answer.pages[0] as usize - 1];
                assert!(page.contains(&answer.text), "{}: {page}", question.text);
            }
        }
    }
}
