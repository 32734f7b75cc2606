#[derive(stillheap::typed::Durable)]
struct Root<'a> {
    name: std::borrow::Cow<'a, str>,
}

fn main() {}
