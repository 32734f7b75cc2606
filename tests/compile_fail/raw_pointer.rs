#[derive(stillheap::typed::Durable)]
struct Root {
    next: *mut u8,
}

fn main() {}
