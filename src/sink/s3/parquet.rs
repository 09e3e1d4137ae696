//! A Parquet file: rows of the flat format as columns, sorted by time, for DuckDB, Athena, Spark and whatever else reads
//! tables from objects.

use std::borrow::Cow;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError as WriteError;
use ::parquet::file::metadata::SortingColumn;
use ::parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::{Type, TypePtr};
use bytes::Bytes;
use jiff::civil::Date;

use crate::format::flat::{COLUMNS, Column, Kind};
use crate::json::{self, Cursor, JsonError, Text, key_text, unescape};
use crate::parse::parse_timestamp;

/// The bytes of lines that make a row group. Its columns stand in memory beside the lines, so this bounds both; it is
/// large enough for compression to gain nothing more, and a file has few groups.
const GROUP_BYTES: usize = 32 << 20;

/// How hard zstd tries. Level 3 makes prompts and answers a tenth smaller than level 1 for a fifth more time.
const ZSTD_LEVEL: i32 = 3;

/// What wrote the file, in the form that readers take apart to know of a writer's faults: name, `version`, version.
/// Source: the Parquet format, `FileMetaData.created_by`.
const CREATED_BY: &str = concat!("bedrock-tap version ", env!("CARGO_PKG_VERSION"));

/// Columns whose values seldom come twice: a dictionary of them would only cost.
const WITHOUT_DICTIONARY: [&str; 10] = [
    "event_id",
    "event_time",
    "request_id",
    "prompt_text",
    "answer_text",
    "reasoning_text",
    "response_id",
    "input_body_s3_path",
    "output_body_s3_path",
    "source",
];

/// What rows are sorted by, the first first.
const SORTED_BY: [&str; 2] = ["event_time", "event_id"];

/// Why there is no file. Says no value of a row.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// A line is no row of the flat format.
    #[error("line {row} is no row of the flat format: {what}")]
    Row {
        /// The line's index.
        row: usize,
        /// Which column is wrong, and how.
        what: Cow<'static, str>,
    },
    /// The file cannot be written: a value or the file is larger than the format allows.
    #[error("the Parquet file cannot be written")]
    Write(#[from] WriteError),
}

/// Makes a Parquet file of lines of the flat format, each with or without its newline. The columns are those of
/// [`COLUMNS`]; rows are sorted by `event_time`, then `event_id`. Beside the lines and the file, memory holds the columns
/// of one row group: 32 MiB of lines, or one line that is larger.
///
/// A surrogate escape without its partner, which no text of a column can hold, is kept as the six characters of its
/// escape.
///
/// # Errors
/// [`ParquetError::Row`]: a line has a member that is no column, or twice, or of another type, or lacks one that every
/// row has. No file is made then: the lines are this program's own, so it is a defect.
pub fn encode<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, ParquetError> {
    let mut sorted = rows.enumerate().map(|(index, line)| Row::new(index, line)).collect::<Result<Vec<_>, _>>()?;
    sorted.sort_by(|one, other| (one.time, &one.id).cmp(&(other.time, &other.id)));

    let mut writer = SerializedFileWriter::new(Vec::new(), schema()?, properties()?)?;
    let mut columns: Vec<_> = COLUMNS.iter().map(Values::new).collect();
    let (mut scratch, mut bytes) = (Text::default(), 0);
    for row in &sorted {
        if bytes > 0 && bytes + row.line.len() > GROUP_BYTES {
            write_group(&mut writer, &mut columns)?;
            bytes = 0;
        }
        bytes += row.line.len();
        row.read(&mut columns, &mut scratch).map_err(|flaw| flaw.of(row.index))?;
    }
    if bytes > 0 {
        write_group(&mut writer, &mut columns)?;
    }
    Ok(writer.into_inner()?)
}

/// The schema: [`COLUMNS`] in their order, in the types that [`Kind::parquet`] says.
fn schema() -> Result<TypePtr, WriteError> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text | Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Integer => (Physical::INT64, None),
            Kind::Float => (Physical::DOUBLE, None),
            Kind::Boolean => (Physical::BOOLEAN, None),
            Kind::Timestamp => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
            Kind::Date => (Physical::INT32, Some(LogicalType::Date)),
        };
        let repetition = if column.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let field = Type::primitive_type_builder(column.name, physical).with_logical_type(logical);
        field.with_repetition(repetition).build().map(Arc::new)
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder("bedrock_tap_flat").with_fields(fields).build().map(Arc::new)
}

fn properties() -> Result<WriterPropertiesPtr, WriteError> {
    let place = |name: &str| COLUMNS.iter().position(|column| column.name == name).unwrap_or_default();
    let sorting = SORTED_BY.map(|name| SortingColumn {
        column_idx: i32::try_from(place(name)).unwrap_or_default(),
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_sorting_columns(Some(sorting.to_vec()));
    for name in WITHOUT_DICTIONARY {
        properties = properties.set_column_dictionary_enabled(name.into(), false);
    }
    Ok(Arc::new(properties.build()))
}

/// Writes what the columns hold as a row group, and empties them.
fn write_group(writer: &mut SerializedFileWriter<Vec<u8>>, columns: &mut [Values]) -> Result<(), WriteError> {
    let mut group = writer.next_row_group()?;
    for column in columns {
        if let Some(mut writer) = group.next_column()? {
            column.write(&mut writer)?;
            writer.close()?;
        }
    }
    group.close().map(drop)
}

/// What is wrong with a line, in words.
struct Flaw(Cow<'static, str>);

impl Flaw {
    fn of(self, row: usize) -> ParquetError {
        ParquetError::Row { row, what: self.0 }
    }
}

impl From<JsonError> for Flaw {
    fn from(error: JsonError) -> Self {
        Self(error.to_string().into())
    }
}

/// A line, and what it is sorted by.
struct Row<'a> {
    index: usize,
    line: &'a [u8],
    /// Milliseconds since 1970, UTC.
    time: i64,
    id: Cow<'a, str>,
}

impl<'a> Row<'a> {
    fn new(index: usize, line: &'a [u8]) -> Result<Self, ParquetError> {
        let (time, id) = sort_key(line).map_err(|flaw| flaw.of(index))?;
        Ok(Self { index, line, time, id })
    }

    /// Appends the row to the columns.
    fn read(&self, columns: &mut [Values], scratch: &mut Text) -> Result<(), Flaw> {
        let mut cursor = Cursor::new(self.line, 0);
        let mut next = 0;
        cursor.object(|cursor, key| {
            let name = key_text(cursor.span(key));
            // Lines have their members in the order of the columns, so the next one is mostly a step away.
            let mut places = (next..columns.len()).chain(0..next);
            let place = places.find(|place| COLUMNS[*place].name.as_bytes() == name.as_ref());
            let place = place.ok_or(Flaw("a member that is no column".into()))?;
            next = place + 1;
            columns[place].read(cursor, scratch)
        })?;
        if cursor.peek().is_some() {
            return Err(Flaw("more than one object".into()));
        }
        columns.iter_mut().try_for_each(Values::end_row)
    }
}

/// Reads what a line is sorted by. The lines of this program begin with it, so the rest is mostly not looked at.
fn sort_key(line: &[u8]) -> Result<(i64, Cow<'_, str>), Flaw> {
    let text = simdutf8::basic::from_utf8(line).map_err(|_| Flaw("not UTF-8".into()))?;
    let (mut time, mut id) = (None, None);
    let walked = Cursor::new(line, 0).object(|cursor, key| {
        let (name, slot) = match key_text(cursor.span(key)).as_ref() {
            b"event_time" => ("event_time", &mut time),
            b"event_id" => ("event_id", &mut id),
            _ => return cursor.value(json::MAX_DEPTH).map(drop).map_err(Flaw::from),
        };
        let span = cursor.string().map_err(|error| Flaw(format!("{name}: {error}").into()))?;
        *slot = Some(unescape(text.get(span).unwrap_or_default()));
        if time.is_some() && id.is_some() { Err(Flaw("all is known".into())) } else { Ok(()) }
    });
    match (time, id) {
        (Some(time), Some(id)) => Ok((millis(&time).ok_or_else(|| Flaw("event_time: no time".into()))?, id)),
        (None, _) => Err(walked.err().unwrap_or_else(|| Flaw("event_time: missing".into()))),
        (_, None) => Err(walked.err().unwrap_or_else(|| Flaw("event_id: missing".into()))),
    }
}

fn millis(text: &str) -> Option<i64> {
    parse_timestamp(text).map(|time| time.as_millisecond())
}

/// Days since 1970.
fn days(text: &str) -> Option<i32> {
    const EPOCH: Date = Date::constant(1970, 1, 1);
    text.parse::<Date>().ok()?.since(EPOCH).ok().map(|span| span.get_days())
}

/// The values of a column in the rows of a group.
struct Values {
    column: &'static Column,
    /// For each row whether it has a value: 1 or 0, which is what the format calls a definition level.
    levels: Vec<i16>,
    /// Whether the row at hand has a value.
    filled: bool,
    data: Data,
}

/// The values that there are.
enum Data {
    /// Texts behind one another, and where each ends.
    Text(Vec<u8>, Vec<usize>),
    Long(Vec<i64>),
    Int(Vec<i32>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
}

impl Values {
    fn new(column: &'static Column) -> Self {
        let data = match column.kind {
            Kind::Text | Kind::Json => Data::Text(Vec::new(), Vec::new()),
            Kind::Integer | Kind::Timestamp => Data::Long(Vec::new()),
            Kind::Date => Data::Int(Vec::new()),
            Kind::Float => Data::Double(Vec::new()),
            Kind::Boolean => Data::Boolean(Vec::new()),
        };
        Self { column, levels: Vec::new(), filled: false, data }
    }

    /// Appends the value at the cursor.
    fn read(&mut self, cursor: &mut Cursor<'_>, scratch: &mut Text) -> Result<(), Flaw> {
        let Column { name, kind, .. } = *self.column;
        if std::mem::replace(&mut self.filled, true) {
            return Err(Flaw(format!("{name}: there twice").into()));
        }
        let expected = match kind {
            Kind::Integer | Kind::Float => json::Kind::Number,
            Kind::Boolean => json::Kind::Bool,
            Kind::Text | Kind::Json | Kind::Timestamp | Kind::Date => json::Kind::String,
        };
        let found = cursor.peek().map_or(json::Kind::Null, json::Kind::of);
        if found != expected {
            let (expected, found) = (expected.described(), found.described());
            return Err(Flaw(format!("{name}: expected {expected}, found {found}").into()));
        }
        let text = if expected == json::Kind::String {
            if let Some(flaw) = cursor.string_into(scratch)? {
                return Err(Flaw(format!("{name}: {}", flaw.described()).into()));
            }
            scratch.bytes()
        } else {
            let span = cursor.value(0)?;
            cursor.span(span)
        };
        self.push(text).ok_or_else(|| Flaw(format!("{name}: no {}", kind.sql()).into()))
    }

    /// Appends a value; none if the text is not one.
    fn push(&mut self, text: &[u8]) -> Option<()> {
        let literal = || std::str::from_utf8(text).ok();
        match &mut self.data {
            Data::Text(bytes, ends) => {
                bytes.extend_from_slice(text);
                ends.push(bytes.len());
            }
            Data::Long(values) if self.column.kind == Kind::Timestamp => values.push(millis(literal()?)?),
            Data::Long(values) => values.push(literal()?.parse().ok()?),
            Data::Int(values) => values.push(days(literal()?)?),
            Data::Double(values) => values.push(literal()?.parse().ok().filter(|value: &f64| value.is_finite())?),
            Data::Boolean(values) => values.push(text == b"true"),
        }
        Some(())
    }

    /// Says that the row at hand has no more values.
    fn end_row(&mut self) -> Result<(), Flaw> {
        let filled = std::mem::take(&mut self.filled);
        if self.column.required && !filled {
            return Err(Flaw(format!("{}: missing", self.column.name).into()));
        }
        self.levels.push(i16::from(filled));
        Ok(())
    }

    /// Writes the values of all rows, and forgets them.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), WriteError> {
        let levels = std::mem::take(&mut self.levels);
        let levels = (!self.column.required).then_some(levels.as_slice());
        match std::mem::replace(&mut self.data, Self::new(self.column).data) {
            Data::Text(bytes, ends) => {
                let (bytes, mut start) = (Bytes::from(bytes), 0);
                let text = |end| ByteArray::from(bytes.slice(std::mem::replace(&mut start, end)..end));
                let values: Vec<_> = ends.into_iter().map(text).collect();
                writer.typed::<ByteArrayType>().write_batch(&values, levels, None)
            }
            Data::Long(values) => writer.typed::<Int64Type>().write_batch(&values, levels, None),
            Data::Int(values) => writer.typed::<Int32Type>().write_batch(&values, levels, None),
            Data::Double(values) => writer.typed::<DoubleType>().write_batch(&values, levels, None),
            Data::Boolean(values) => writer.typed::<BoolType>().write_batch(&values, levels, None),
        }
        .map(drop)
    }
}

#[cfg(test)]
mod tests;
