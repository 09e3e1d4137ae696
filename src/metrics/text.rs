//! The text of metrics: Prometheus' own format 0.0.4, and OpenMetrics 1.0 for whoever asks for it.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' text, version 0.0.4.
    Prometheus,
    /// OpenMetrics' text, version 1.0.0.
    OpenMetrics,
}

impl Form {
    /// The form that a client asks for by its header `accept`; Prometheus' own if it says nothing that is known.
    pub fn asked(accept: &str) -> Self {
        let takes = |kind: &str| {
            accept.split(',').any(|part| {
                let mut parts = part.split(';').map(str::trim);
                let is_kind = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(kind));
                is_kind && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        };
        if takes("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes the families.
    pub fn write(self, families: &[MetricFamily]) -> String {
        let mut out = String::new();
        for family in families {
            self.write_family(family, &mut out);
        }
        if self == Self::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    fn write_family(self, family: &MetricFamily, out: &mut String) {
        let (name, kind) = (family.name(), family.get_field_type());
        // OpenMetrics names a counter without the ending that its samples have.
        let base = match (self, kind) {
            (Self::OpenMetrics, MetricType::COUNTER) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let kind_name = match kind {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            MetricType::GAUGE => "gauge",
            MetricType::UNTYPED if self == Self::OpenMetrics => "unknown",
            MetricType::UNTYPED => "untyped",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {base} {}", Escaped(family.help(), self == Self::OpenMetrics));
        let _ = writeln!(out, "# TYPE {base} {kind_name}");
        if let Some(unit) = unit(base).filter(|_| self == Self::OpenMetrics) {
            let _ = writeln!(out, "# UNIT {base} {unit}");
        }
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => {
                    let total = if self == Self::OpenMetrics { "_total" } else { "" };
                    self.write_sample(base, total, metric, None, metric.get_counter().get_value(), out);
                }
                MetricType::HISTOGRAM => self.write_histogram(base, metric, out),
                _ => self.write_sample(base, "", metric, None, metric.get_gauge().get_value(), out),
            }
        }
    }

    fn write_histogram(self, name: &str, metric: &Metric, out: &mut String) {
        let histogram = metric.get_histogram();
        let count = as_f64(histogram.get_sample_count());
        let bounds = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        for (bound, below) in bounds.filter(|(bound, _)| bound.is_finite()) {
            self.write_sample(name, "_bucket", metric, Some(&number(bound, self)), as_f64(below), out);
        }
        self.write_sample(name, "_bucket", metric, Some("+Inf"), count, out);
        self.write_sample(name, "_sum", metric, None, histogram.get_sample_sum(), out);
        self.write_sample(name, "_count", metric, None, count, out);
    }

    fn write_sample(self, base: &str, ending: &str, metric: &Metric, le: Option<&str>, value: f64, out: &mut String) {
        out.push_str(base);
        out.push_str(ending);
        let labels: &[LabelPair] = metric.get_label();
        let pairs = labels.iter().map(|label| (label.name(), label.value())).chain(le.map(|bound| ("le", bound)));
        let mut opening = '{';
        for (name, value) in pairs {
            let _ = write!(out, "{opening}{name}=\"{}\"", Escaped(value, true));
            opening = ',';
        }
        if opening == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {}", number(value, Self::Prometheus));
    }
}

/// The unit at the end of a name, if it is one.
fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"].into_iter().find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floating-point")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// A number as the format writes it. OpenMetrics wants a bound to look like a floating-point number.
fn number(value: f64, form: Form) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if form == Form::OpenMetrics {
        format!("{value:?}")
    } else {
        format!("{value}")
    }
}

/// Text with line breaks and backslashes escaped, and quotation marks where they would end it.
struct Escaped<'a>(&'a str, bool);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.1 => f.write_str("\\\"")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    fn registry() -> Registry {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("tap_items_total", "Items \"all\"\nof \\them."), &["sink"]).unwrap();
        counter.with_label_values(&["a\"b\\c\nd"]).inc_by(3);
        let opts = HistogramOpts::new("tap_call_seconds", "Calls.").buckets(vec![0.5, 1.0]);
        let histogram = HistogramVec::new(opts, &[]).unwrap();
        let calls = histogram.with_label_values::<&str>(&[]);
        [0.25, 0.75, 4.0].into_iter().for_each(|seconds| calls.observe(seconds));
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        registry
    }

    #[test]
    fn both_forms_are_written_as_their_specifications_say() {
        let check = |form: Form, expected: &str| assert_eq!(form.write(&registry().gather()), expected, "{form:?}");
        check(
            Form::Prometheus,
            "# HELP tap_call_seconds Calls.\n\
             # TYPE tap_call_seconds histogram\n\
             tap_call_seconds_bucket{le=\"0.5\"} 1\n\
             tap_call_seconds_bucket{le=\"1\"} 2\n\
             tap_call_seconds_bucket{le=\"+Inf\"} 3\n\
             tap_call_seconds_sum 5\n\
             tap_call_seconds_count 3\n\
             # HELP tap_items_total Items \"all\"\\nof \\\\them.\n\
             # TYPE tap_items_total counter\n\
             tap_items_total{sink=\"a\\\"b\\\\c\\nd\"} 3\n",
        );
        check(
            Form::OpenMetrics,
            "# HELP tap_call_seconds Calls.\n\
             # TYPE tap_call_seconds histogram\n\
             # UNIT tap_call_seconds seconds\n\
             tap_call_seconds_bucket{le=\"0.5\"} 1\n\
             tap_call_seconds_bucket{le=\"1.0\"} 2\n\
             tap_call_seconds_bucket{le=\"+Inf\"} 3\n\
             tap_call_seconds_sum 5\n\
             tap_call_seconds_count 3\n\
             # HELP tap_items Items \\\"all\\\"\\nof \\\\them.\n\
             # TYPE tap_items counter\n\
             tap_items_total{sink=\"a\\\"b\\\\c\\nd\"} 3\n\
             # EOF\n",
        );
    }

    #[test]
    fn the_form_is_the_one_that_is_asked_for() {
        let check = |accept: &str, expected: Form| assert_eq!(Form::asked(accept), expected, "{accept:?}");
        check("", Form::Prometheus);
        check("*/*", Form::Prometheus);
        check("text/plain;version=0.0.4", Form::Prometheus);
        check("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2", Form::OpenMetrics);
        check("application/openmetrics-text; q=0, text/plain", Form::Prometheus);
        check("application/openmetrics-textual", Form::Prometheus);
    }
}
