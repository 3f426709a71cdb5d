// up_unit — loads a unit of W3, a quantized matrix of the same shape and format as w
@group(0) @binding(17) var<storage, read> up: array<Codes>;
@group(0) @binding(18) var<storage, read> up_scales: array<vec2<u32>>;

fn up_unit(group: u32, unit: u32) -> Unit {
  let at = 4u * group * units + unit;
  let half = group * units + unit;
  let block = half / 2u;
  var u: Unit;
  u.q0 = up[at];
  u.q1 = up[at + units];
  u.q2 = up[at + 2u * units];
  u.q3 = up[at + 3u * units];
  if (HIGH > 0u) {
    let high = high_index(group, unit);
    u.high = high_of(vec4<u32>(up[high].xy, up[high + 1u].xy), unit);
  }
  if (SCALE == 0u) { u.scaling.scale.x = up_scales[block][half % 2u]; }
  if (SCALE == 1u) { u.scaling.scale = vec4<u32>(up_scales[block], 0u, 0u); }
  if (SCALE == 2u) { u.scaling.scale = vec4<u32>(up_scales[2u * block], up_scales[2u * block + 1u]); }
  if (TOP == 1u) { u.scaling.top = vec4<u32>(up_scales[top_at + block / 8u], 0u, 0u); }
  if (TOP == 2u) {
    u.scaling.top = vec4<u32>(up_scales[top_at + block / 8u * 2u], up_scales[top_at + block / 8u * 2u + 1u]);
  }
  return u;
}
