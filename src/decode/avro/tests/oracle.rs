//! Generated schemas and values, decoded by us and by `apache_avro`.
//!
//! What it wrote, and what was written with the same meaning and other blocks, must give the same columns as its own
//! values, with and without a reader's schema. `AVRO_PAIRS` sets the number of values, `AVRO_SEED` the first seed.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::ResolvedSchema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::{Value as Json, json};

use super::generate::Generator;
use super::render::stored;
use super::{Table, bare, long, plan, sized, spec};
use crate::columns::{ColumnType, RowPlan};
use crate::decode::AvroSchema;

/// Pairs of a schema and a value.
const PAIRS: u64 = 100_000;
/// Values of one schema.
const VALUES: u64 = 20;
/// One schema of so many is read as another.
const RESOLVED_EVERY: u64 = 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Runs over all schemas of `kind`, on two threads.
fn check(resolved: bool, one: fn(Generator) -> Result<(), String>) {
    let schemas = number("AVRO_PAIRS", PAIRS) / VALUES;
    let first = number("AVRO_SEED", 1);
    let run = |half: u64| {
        for seed in (0..schemas).filter(|seed| seed % 2 == half && (seed / 2 % RESOLVED_EVERY == 0) == resolved) {
            let seed = first + seed;
            one(Generator::new(SmallRng::seed_from_u64(seed))).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| run(0));
        threads.spawn(|| run(1));
    });
}

/// A column for each field of a record.
fn columns(generator: &mut Generator, schema: &Schema, names: &ResolvedSchema<'_>) -> RowPlan {
    let Schema::Record(record) = schema else {
        panic!("{schema:?} is no record");
    };
    let fields = record.fields.iter();
    plan(fields.map(|field| spec(&field.name, &generator.column(&field.schema, names, 1))).collect())
}

/// What each column ought to hold of a record.
fn expected(value: &Value, schema: &Schema, names: &ResolvedSchema<'_>, types: &[ColumnType]) -> Vec<String> {
    let (Value::Record(values), Schema::Record(record)) = (value, schema) else {
        panic!("{value:?} is no record");
    };
    let fields = values.iter().zip(&record.fields).zip(types);
    fields.map(|(((_, value), field), column)| stored(value, &field.schema, names, column)).collect()
}

fn types(plan: &RowPlan) -> Vec<ColumnType> {
    plan.columns().iter().map(|spec| spec.column_type.clone()).collect()
}

/// Compares what a table holds with what it ought to, row by row.
fn compare(table: &Table, rows: &[Vec<String>], schema: &Json) -> Result<(), String> {
    for (column, stored) in table.all_stored().iter().enumerate() {
        for (row, stored) in stored.iter().enumerate() {
            if *stored != rows[row][column] {
                let name = &table.columns.plan().columns()[column];
                return Err(format!(
                    "{} {} of row {row} is\n{stored}\nand not\n{}\n{schema}",
                    name.name, name.type_text, rows[row][column]
                ));
            }
        }
    }
    Ok(())
}

/// Writes a value as Avro, in blocks of any length, and without what the oracle believes of it.
fn write(generator: &mut Generator, value: &Value, schema: &Schema, names: &ResolvedSchema<'_>, avro: &mut Vec<u8>) {
    match (value, schema) {
        (_, Schema::Ref { name }) => write(generator, value, names.get_names()[name], names, avro),
        (Value::Union(branch, value), Schema::Union(union)) => {
            avro.extend(long((*branch).into()));
            write(generator, value, &union.variants()[*branch as usize], names, avro);
        }
        (Value::Record(fields), Schema::Record(record)) => {
            for ((_, value), field) in fields.iter().zip(&record.fields) {
                write(generator, value, &field.schema, names, avro);
            }
        }
        (Value::Array(items), Schema::Array(array)) => {
            let items = items.iter().map(|item| {
                let mut bytes = Vec::new();
                write(generator, item, &array.items, names, &mut bytes);
                bytes
            });
            let items: Vec<_> = items.collect();
            write_blocks(generator, &items, avro);
        }
        (Value::Map(entries), Schema::Map(map)) => {
            let entries = entries.iter().map(|(key, value)| {
                let mut bytes = sized(key);
                write(generator, value, &map.types, names, &mut bytes);
                bytes
            });
            let entries: Vec<_> = entries.collect();
            write_blocks(generator, &entries, avro);
        }
        (value, schema) => {
            let writer = GenericDatumWriter::builder(schema).build().unwrap();
            avro.extend(writer.write_value_to_vec(value.clone()).unwrap());
        }
    }
}

fn write_blocks(generator: &mut Generator, items: &[Vec<u8>], avro: &mut Vec<u8>) {
    let mut rest = items;
    while !rest.is_empty() {
        let count = generator.below(u32::try_from(rest.len()).unwrap()) + 1;
        let (block, after) = rest.split_at(count as usize);
        let bytes = block.concat();
        if generator.one_in(2) {
            avro.extend(long(-i64::from(count)));
            avro.extend(long(i64::try_from(bytes.len()).unwrap()));
        } else {
            avro.extend(long(count.into()));
        }
        avro.extend(bytes);
        rest = after;
    }
    avro.extend(long(0));
}

fn as_written(mut generator: Generator) -> Result<(), String> {
    let text = generator.schema();
    let schema = Schema::parse(&text).map_err(|error| format!("{error}: {text}"))?;
    let names = ResolvedSchema::try_from(&schema).map_err(|error| error.to_string())?;
    let plan = columns(&mut generator, &schema, &names);
    let types = types(&plan);
    let mut table = Table::try_new(plan, &bare(text.to_string()), None).map_err(|error| format!("{error}: {text}"))?;
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let mut rows = Vec::new();
    for number in 0..VALUES {
        let value = generator.value(&schema, &names, 0);
        let mut avro = Vec::new();
        if number % 2 == 0 {
            writer.write_value_ref(&mut avro, &value).map_err(|error| format!("{error}: {text} {value:?}"))?;
        } else {
            write(&mut generator, &value, &schema, &names, &mut avro);
        }
        let theirs = reader.read_value(&mut avro.as_slice()).map_err(|error| format!("{error}: {text} {value:?}"))?;
        if theirs != value {
            return Err(format!("the oracle reads {theirs:?} and not {value:?}: {text}"));
        }
        table.push(&avro).map_err(|error| format!("{error}: {text} {value:?}"))?;
        // Of the value that was written: the oracle's maps have no order.
        rows.push(expected(&value, &schema, &names, &types));
    }
    compare(&table, &rows, &text)
}

#[test]
fn values_are_those_of_the_oracle() {
    check(false, as_written);
}

/// A schema that data of another can be read as: twice, with the writer's names and with new ones and aliases. The oracle
/// knows no aliases, and where values come from is the same.
fn evolved(generator: &mut Generator, schema: &Json, renamed: bool, is_root: bool) -> Json {
    let keep = |json: &Json, aliases: &Json| {
        let mut json = json.clone();
        if renamed {
            json["aliases"] = aliases.clone();
        }
        json
    };
    match schema {
        Json::String(kind) => {
            let kinds: &[&str] = match kind.as_str() {
                "int" => &["int", "long", "float", "double"],
                "long" => &["long", "double", "float"],
                "float" => &["float", "double"],
                "string" => &["string", "bytes"],
                "bytes" => &["bytes", "string"],
                _ => return schema.clone(),
            };
            json!(kinds[generator.below(u32::try_from(kinds.len()).unwrap()) as usize])
        }
        // Branches that change could be taken for others.
        Json::Array(branches) => {
            let mut branches: Vec<Json> = branches
                .iter()
                .map(
                    |branch| {
                        if branch.is_string() { branch.clone() } else { evolved(generator, branch, renamed, false) }
                    },
                )
                .collect();
            if generator.one_in(2) {
                branches.reverse();
            }
            json!(branches)
        }
        Json::Object(object) if object.contains_key("fields") => {
            let mut fields = Vec::new();
            for field in object["fields"].as_array().unwrap() {
                let name = field["name"].as_str().unwrap();
                let kind = evolved(generator, &field["type"], renamed, false);
                // Inside, the fields of a text stand as they were written, and not as they are read.
                let place = if is_root {
                    generator.below(u32::try_from(fields.len()).unwrap() + 1) as usize
                } else {
                    fields.len()
                };
                let dropped = generator.one_in(5);
                let wrapped = generator.one_in(5) && !kind.is_array() && kind != "null";
                let kind = if wrapped { json!(["null", kind]) } else { kind };
                let new_name = if generator.one_in(3) { format!("new_{name}") } else { name.to_owned() };
                let name_now = if renamed { new_name } else { name.to_owned() };
                let field = keep(&json!({ "name": name_now, "type": kind }), &json!(["nothing", name]));
                // What is dropped draws the same numbers.
                if !dropped {
                    fields.insert(place, field);
                }
            }
            for number in 0..generator.below(3) {
                let (kind, default) = added(generator);
                fields.push(json!({ "name": format!("added{number}"), "type": kind, "default": default }));
            }
            let name = object["name"].as_str().unwrap();
            let other = if renamed { format!("{name}Renamed") } else { name.to_owned() };
            keep(&json!({ "type": "record", "name": other, "fields": fields }), &json!([name]))
        }
        Json::Object(object) if object.contains_key("symbols") => {
            let symbols = object["symbols"].as_array().unwrap();
            let mut kept = symbols.clone();
            kept.reverse();
            kept.truncate(1 + generator.below(5) as usize);
            let default = kept[0].clone();
            let mut json = schema.clone();
            json["symbols"] = json!(kept);
            json["default"] = default;
            json
        }
        Json::Object(object) => {
            let mut json = schema.clone();
            for part in ["items", "values"] {
                if let Some(inner) = object.get(part) {
                    json[part] = evolved(generator, inner, renamed, false);
                }
            }
            json
        }
        other => other.clone(),
    }
}

/// A field that the writer does not have.
fn added(generator: &mut Generator) -> (Json, Json) {
    let enumeration = || json!({ "type": "enum", "name": "ignored", "symbols": ["X", "Y"] });
    let name = generator.name();
    let named = |mut kind: Json| {
        kind["name"] = json!(format!("{name}Added"));
        kind
    };
    let text = generator.text();
    match generator.below(9) {
        0 => (json!("int"), json!(-7)),
        1 => (json!("double"), json!(1.5)),
        2 => (json!("string"), json!(text)),
        3 => (json!(["null", "string"]), json!(null)),
        4 => (json!({ "type": "array", "items": "long" }), json!([1, 2])),
        5 => (json!({ "type": "map", "values": "string" }), json!({ "k": text })),
        6 => (named(enumeration()), json!("Y")),
        7 => (json!({ "type": "int", "logicalType": "date" }), json!(7)),
        _ => {
            let fields = json!([{ "name": "x", "type": "boolean" }, { "name": "y", "type": "int", "default": 3 }]);
            (named(json!({ "type": "record", "fields": fields })), json!({ "x": true }))
        }
    }
}

fn as_read(mut generator: Generator) -> Result<(), String> {
    generator.tame = true;
    let text = generator.schema();
    let mut twin = Generator::new(generator.random.clone());
    let reader_text = evolved(&mut twin, &text, false, true);
    let mut twin = Generator::new(generator.random.clone());
    let ours_text = evolved(&mut twin, &text, true, true);
    let shown = format!("{text} as {ours_text}");
    let schema = Schema::parse(&text).map_err(|error| format!("{error}: {shown}"))?;
    let reader_schema = Schema::parse(&reader_text).map_err(|error| format!("{error}: {shown}"))?;
    let ours = Schema::parse(&ours_text).map_err(|error| format!("{error}: {shown}"))?;
    let names = ResolvedSchema::try_from(&schema).map_err(|error| error.to_string())?;
    let our_names = ResolvedSchema::try_from(&ours).map_err(|error| error.to_string())?;
    let plan = columns(&mut generator, &ours, &our_names);
    let types = types(&plan);
    let reader = AvroSchema::alone(ours_text.to_string());
    let table = Table::try_new(plan, &bare(text.to_string()), Some(&reader));
    let mut table = table.map_err(|error| format!("{error}: {shown}"))?;
    let oracle = GenericDatumReader::builder(&schema).reader_schema(&reader_schema).build().unwrap();
    let mut rows = Vec::new();
    for _ in 0..VALUES {
        let value = generator.value(&schema, &names, 0);
        let mut avro = Vec::new();
        write(&mut generator, &value, &schema, &names, &mut avro);
        let theirs = oracle.read_value(&mut avro.as_slice()).map_err(|error| format!("{error}: {shown} {value:?}"))?;
        table.push(&avro).map_err(|error| format!("{error}: {shown} {value:?}"))?;
        rows.push(expected(&theirs, &ours, &our_names, &types));
    }
    compare(&table, &rows, &json!(shown))
}

#[test]
fn values_read_as_another_schema_are_those_of_the_oracle() {
    check(true, as_read);
}
