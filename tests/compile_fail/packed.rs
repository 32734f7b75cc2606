#[derive(stillheap::typed::Durable)]
#[repr(C, packed)]
struct Root {
    a: u8,
    b: u32,
}

fn main() {}
