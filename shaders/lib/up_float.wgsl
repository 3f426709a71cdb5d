// up_unit — loads a unit of W3, a float matrix of the same shape and format as w
@group(0) @binding(17) var<storage, read> up: array<vec4<u32>>;

fn up_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  return Unit(up[at], up[at + units], up[at + 2u * units], up[at + 3u * units], Scales());
}
