// Points straight from the payload: two bytes each for x, y, leaf and document, one for a channel and for dimming.
export const VERTEX = `#version 300 es
precision highp float;
precision highp int;
layout(location = 0) in float x;
layout(location = 1) in float y;
layout(location = 2) in uint leaf;
layout(location = 3) in uint document;
layout(location = 4) in uint channel;
layout(location = 5) in uint lit;
uniform vec2 middle;
uniform vec2 scale;
uniform int by;
uniform int part;
uniform float size;
uniform float opacity;
uniform vec4 faint;
uniform highp sampler2D colours;
flat out vec4 ink;

void main() {
  uint number = by == 0 ? leaf : by == 1 ? document : channel;
  vec4 colour = texelFetch(colours, ivec2(int(number & 255u), int(number >> 8u)), 0);
  bool gone = leaf == 65534u || colour.a == 0.0 || (part == 1 && lit != 0u) || (part == 2 && lit == 0u);
  gl_Position = gone ? vec4(2.0, 2.0, 2.0, 1.0) : vec4((vec2(x, y) - middle) * scale, 0.0, 1.0);
  gl_PointSize = part == 1 ? max(1.0, size * 0.8) : size;
  ink = part == 1 ? faint : vec4(colour.rgb, opacity);
}`

export const FRAGMENT = `#version 300 es
precision highp float;
uniform float size;
flat in vec4 ink;
out vec4 drawn;

void main() {
  float alpha = ink.a;
  if (size > 2.5) {
    alpha *= 1.0 - smoothstep(0.5 - 1.0 / size, 0.5, length(gl_PointCoord - 0.5));
  }
  drawn = vec4(ink.rgb * alpha, alpha);
}`
