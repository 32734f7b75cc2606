#[derive(stillheap::typed::Durable)]
struct Root {
    callback: fn(u32) -> u32,
}

fn main() {}
