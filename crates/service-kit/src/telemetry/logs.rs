//! Log lines on stderr: a message and its fields, as JSON or as text.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::panic;

use jiff::Zoned;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{
    self as lines, FmtContext, FormatEvent, FormatFields, FormattedFields,
};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use super::traces::Traces;
use super::{Program, TelemetrySettings};
use crate::settings::LogFormat;

/// Sets the process's subscriber and logs panics, so that they appear where the logs are collected.
pub(super) fn install(
    program: &Program,
    settings: &TelemetrySettings,
    traces: &Traces,
) -> Result<(), TryInitError> {
    let silenced = program.silenced;
    let filter = EnvFilter::new(settings.log_filter.as_str()).and(filter_fn(move |metadata| {
        !silenced
            .iter()
            .any(|library| metadata.target().starts_with(library))
    }));
    let registry = tracing_subscriber::registry();
    match settings.log_format {
        LogFormat::Json => registry
            .with(
                lines::layer()
                    .json()
                    .flatten_event(true)
                    .with_span_list(false)
                    .with_writer(io::stderr)
                    .with_filter(filter),
            )
            .with(traces.layer())
            .try_init()?,
        LogFormat::Pretty => registry
            .with(
                lines::layer()
                    .with_ansi(io::stderr().is_terminal())
                    .event_format(PrettyFormat)
                    .with_writer(io::stderr)
                    .with_filter(filter),
            )
            .with(traces.layer())
            .try_init()?,
    }
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(panic.location = location, "a task panicked; this is a bug");
        default(panic);
    }));
    Ok(())
}

/// `12:03:04.123 INFO  project ready project.id=x  tenant.name=a`
struct PrettyFormat;

impl<S, N> FormatEvent<S, N> for PrettyFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let mut text = EventText::default();
        event.record(&mut text);
        write!(writer, "{} ", Zoned::now().strftime("%H:%M:%S%.3f"))?;
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[{}m{level:<5}\x1b[0m", colour(level))?;
        } else {
            write!(writer, "{level:<5}")?;
        }
        write!(writer, " {}", text.message)?;
        if !text.fields.is_empty() {
            write!(writer, " {}", text.fields)?;
        }
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, "  {fields}")?;
            }
        }
        writeln!(writer)
    }
}

/// The ANSI code of the level's colour.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 90,
    }
}

/// The message of an event and its fields, as text.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = if field.name() == "message" {
            self.message.write_fmt(value)
        } else {
            write!(self.fields, " {}={value}", field.name())
        };
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if value.contains(char::is_whitespace) {
            self.put(field, format_args!("{value:?}"));
        } else {
            self.put(field, format_args!("{value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("lock").clone()).expect("UTF-8")
        }
    }

    #[test]
    fn a_pretty_line_has_the_message_then_the_fields() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = lines::layer()
            .with_ansi(false)
            .event_format(PrettyFormat)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _span = tracing::info_span!("reconcile", tenant.name = "acme").entered();
            tracing::info!(
                project.id = "quiet-river-1",
                cause = "two words",
                elapsed_ms = 812,
                "project ready"
            );
        });
        let text = buffer.text();
        let (_, line) = text.split_once(' ').expect("the time comes first");
        assert_eq!(
            line.trim_end().replace('"', "'"),
            "INFO  project ready  project.id=quiet-river-1 cause='two words' elapsed_ms=812  tenant.name='acme'"
        );
    }
}
