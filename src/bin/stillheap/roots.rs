//! A snapshot's roots: the root table's entries, and the types that are stored with them.

use crate::failure::Failure;
use serde::Serialize;
use stillheap::{
    base::{PAGE_SIZE, PageIndex, RunSet, digest},
    heap::RootRecord,
    image::Chain,
    os::DiskFile,
    typed::{Kind, Schema, Type},
};

/// No stored schema is longer; a table that says so is wrong.
const SCHEMA_MAX: u64 = 64 << 20;

/// A root, as reports have it.
#[derive(Serialize)]
pub(crate) struct Root {
    pub(crate) name: String,
    /// As in a Rust program; none if the schema is damaged.
    #[serde(rename = "type")]
    pub(crate) ty: Option<String>,
    address: String,
    /// Bytes of the value itself, without what it points to.
    pub(crate) size: u64,
    align: u32,
    fingerprint: String,
    /// As Rust declares it.
    pub(crate) schema: Option<String>,
    pub(crate) compiler: Option<String>,
    types: Vec<TypeReport>,
    pub(crate) damage: Option<String>,
}

#[derive(Serialize)]
struct TypeReport {
    name: String,
    size: u64,
    align: u64,
    kind: &'static str,
    fields: Vec<FieldReport>,
    variants: Vec<VariantReport>,
}

#[derive(Serialize)]
struct FieldReport {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Serialize)]
struct VariantReport {
    name: String,
    /// A text: it may have more digits than a JSON number.
    discriminant: String,
    fields: Vec<FieldReport>,
}

/// The roots of a snapshot, with or without the fields' offsets.
pub(crate) fn read(chain: &Chain<DiskFile>, base: u64, layout: bool) -> Result<Vec<Root>, Failure> {
    let mut roots = Vec::new();
    for page in RootRecord::table_pages() {
        let page = bytes(chain, page.offset() as u64, PAGE_SIZE as u64)?;
        for record in RootRecord::all_in(&page) {
            roots.push(root(chain, base, layout, &record));
        }
    }
    Ok(roots)
}

fn root(chain: &Chain<DiskFile>, base: u64, layout: bool, record: &RootRecord) -> Root {
    let (schema, damage) = match schema(chain, base, record) {
        Ok(schema) => (Some(schema), None),
        Err(damage) => (None, Some(damage)),
    };
    let of = |schema: &Schema| if layout { schema.to_string() } else { format!("{schema:#}") };
    Root {
        name: record.name().to_owned(),
        ty: schema.as_ref().map(Schema::name),
        address: format!("{:#x}", record.value),
        // A byte follows the value, and then what its alignment asks for.
        size: schema.as_ref().map_or(record.size.saturating_sub(1), |schema| schema.root().size),
        align: record.align,
        fingerprint: format!("{:032x}", record.fingerprint),
        schema: schema.as_ref().map(of),
        compiler: schema.as_ref().map(|schema| schema.compiler().to_owned()),
        types: schema.as_ref().map(types).unwrap_or_default(),
        damage,
    }
}

fn schema(chain: &Chain<DiskFile>, base: u64, record: &RootRecord) -> Result<Schema, String> {
    let (address, fingerprint) = (record.schema, record.fingerprint);
    let at = address.checked_sub(base).ok_or_else(|| format!("schema at {address:#x}"))?;
    let bytes = bytes(chain, at, record.schema_len.into()).map_err(|failure| failure.message)?;
    let found = digest(&bytes).0;
    if found != fingerprint {
        return Err(format!("the schema: expected digest {fingerprint:032x}, found {found:032x}"));
    }
    Schema::from_bytes(&bytes).map_err(|error| error.to_string())
}

/// Bytes of the heap, from `at` after its base on.
fn bytes(chain: &Chain<DiskFile>, at: u64, len: u64) -> Result<Vec<u8>, Failure> {
    let size = PAGE_SIZE as u64;
    let held = RunSet::of(chain.runs().iter().copied());
    let end = at.saturating_add(len);
    let mut out = Vec::new();
    let mut pages = chain.pages();
    for number in at / size..end.div_ceil(size) {
        let page = u32::try_from(number).ok().map(PageIndex).filter(|&page| held.contains(page));
        let Some(page) = page.filter(|_| len <= SCHEMA_MAX) else {
            let message = format!("{len} bytes at {at:#x} after the base are not in the snapshot");
            return Err(Failure::new(crate::failure::DAMAGED, message));
        };
        let zero = [0; PAGE_SIZE];
        let found = chain.find(page).map(|found| pages.read(found)).transpose()?;
        let start = at.max(number * size) - number * size;
        let stop = end.min((number + 1) * size) - number * size;
        // Both are within a page.
        let range = usize::try_from(start).unwrap_or(0)..usize::try_from(stop).unwrap_or(0);
        out.extend_from_slice(found.unwrap_or(&zero).get(range).unwrap_or_default());
    }
    Ok(out)
}

fn types(schema: &Schema) -> Vec<TypeReport> {
    schema.types().map(|ty| type_report(schema, ty)).collect()
}

fn type_report(schema: &Schema, ty: &Type) -> TypeReport {
    let (kind, mut fields, mut variants) = (kind_name(&ty.kind), Vec::new(), Vec::new());
    match &ty.kind {
        Kind::Primitive => {}
        Kind::Std => fields.extend(ty.parts().into_iter().map(|(name, of)| FieldReport {
            name: name.to_owned(),
            offset: None,
            ty: schema.type_name(of),
        })),
        Kind::Struct(parts) => fields.extend(parts.iter().map(|field| FieldReport {
            name: field.name.clone(),
            offset: Some(field.offset),
            ty: schema.type_name(field.of),
        })),
        Kind::Enum { variants: all, .. } => variants.extend(all.iter().map(|variant| {
            let field = |(name, of): &(String, _)| FieldReport {
                name: name.clone(),
                offset: None,
                ty: schema.type_name(*of),
            };
            let fields = variant.fields.iter().map(field).collect();
            let discriminant = variant.discriminant.to_string();
            VariantReport { name: variant.name.clone(), discriminant, fields }
        })),
    }
    TypeReport { name: ty.name.clone(), size: ty.size, align: ty.align, kind, fields, variants }
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Primitive => "primitive",
        Kind::Std => "std",
        Kind::Struct(_) => "struct",
        Kind::Enum { .. } => "enum",
    }
}
