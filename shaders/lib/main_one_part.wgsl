// main — of a dispatch over one part of a matrix
@compute @workgroup_size(group_size)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.y * grid.x + wid.x;
  var total = array<vec4<f32>, VALUES>();
  multiply(&total, group, lid);
  reduce_array(&total, lid);
  write_rows(group, lid);
}
