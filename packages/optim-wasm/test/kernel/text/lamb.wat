(module
  (import "env" "memory" (memory 0))
  (func $reduce0 (export "reduce0") (param i32 i32 i32 i32 i32 i32 i32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32) (result f64 f64)
    (local v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 i32 i32 i32 v128 v128 v128 v128 v128 v128 v128 v128)
    local.get 7
    f32x4.splat
    local.set 18
    local.get 8
    f32x4.splat
    local.set 21
    local.get 9
    f32x4.splat
    local.set 24
    local.get 10
    f32x4.splat
    local.set 27
    local.get 11
    f32x4.splat
    local.set 29
    local.get 12
    f32x4.splat
    local.set 32
    local.get 13
    f32x4.splat
    local.set 37
    local.get 14
    f32x4.splat
    local.set 39
    local.get 15
    f32x4.splat
    local.set 42
    local.get 1
    local.get 6
    i32.const 2
    i32.shl
    i32.add
    local.set 45
    local.get 45
    local.get 45
    local.get 1
    i32.sub
    i32.const 63
    i32.and
    i32.sub
    local.set 46
    block
      local.get 1
      local.get 46
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load align=4
        local.set 20
        local.get 2
        v128.load align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 52
        local.get 20
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 52
        local.get 20
        local.get 20
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 53
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 53
        local.get 54
        local.get 44
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 54
        local.get 44
        local.get 44
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 55
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 55
        local.get 1
        v128.load offset=16 align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load offset=16 align=4
        local.set 20
        local.get 2
        v128.load offset=16 align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load offset=16 align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 52
        local.get 20
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 52
        local.get 20
        local.get 20
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 53
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 53
        local.get 54
        local.get 44
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 54
        local.get 44
        local.get 44
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 55
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 55
        local.get 1
        v128.load offset=32 align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load offset=32 align=4
        local.set 20
        local.get 2
        v128.load offset=32 align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load offset=32 align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 52
        local.get 20
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 52
        local.get 20
        local.get 20
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 53
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 53
        local.get 54
        local.get 44
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 54
        local.get 44
        local.get 44
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 55
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 55
        local.get 1
        v128.load offset=48 align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load offset=48 align=4
        local.set 20
        local.get 2
        v128.load offset=48 align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load offset=48 align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 52
        local.get 20
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 52
        local.get 20
        local.get 20
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 53
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 53
        local.get 54
        local.get 44
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 54
        local.get 44
        local.get 44
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 55
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 55
        local.get 1
        i32.const 64
        i32.add
        local.set 1
        local.get 0
        i32.const 64
        i32.add
        local.set 0
        local.get 2
        i32.const 64
        i32.add
        local.set 2
        local.get 3
        i32.const 64
        i32.add
        local.set 3
        local.get 1
        local.get 46
        i32.lt_u
        br_if 0
      end
    end
    local.get 45
    local.get 45
    local.get 1
    i32.sub
    i32.const 15
    i32.and
    i32.sub
    local.set 46
    block
      local.get 1
      local.get 46
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load align=4
        local.set 20
        local.get 2
        v128.load align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 52
        local.get 20
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 52
        local.get 20
        local.get 20
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 53
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 53
        local.get 54
        local.get 44
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 54
        local.get 44
        local.get 44
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 55
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 55
        local.get 1
        i32.const 16
        i32.add
        local.set 1
        local.get 0
        i32.const 16
        i32.add
        local.set 0
        local.get 2
        i32.const 16
        i32.add
        local.set 2
        local.get 3
        i32.const 16
        i32.add
        local.set 3
        local.get 1
        local.get 46
        i32.lt_u
        br_if 0
      end
    end
    v128.const f32x4 nan:0x7fffff 0 0 0
    local.set 51
    block
      local.get 1
      local.get 45
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load32_splat align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load32_splat align=4
        local.set 20
        local.get 2
        v128.load32_splat align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load32_splat align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 20
        local.get 51
        v128.and
        local.set 20
        local.get 44
        local.get 51
        v128.and
        local.set 44
        local.get 52
        local.get 20
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 52
        local.get 20
        local.get 20
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 53
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 53
        local.get 54
        local.get 44
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 54
        local.get 44
        local.get 44
        i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
        local.set 49
        local.get 55
        local.get 49
        f64x2.promote_low_f32x4
        local.set 48
        local.get 48
        local.get 48
        f64x2.mul
        f64x2.add
        local.set 55
        local.get 51
        local.get 51
        i8x16.shuffle 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11
        local.set 51
        local.get 1
        i32.const 4
        i32.add
        local.set 1
        local.get 0
        i32.const 4
        i32.add
        local.set 0
        local.get 2
        i32.const 4
        i32.add
        local.set 2
        local.get 3
        i32.const 4
        i32.add
        local.set 3
        local.get 1
        local.get 45
        i32.lt_u
        br_if 0
      end
    end
    local.get 52
    f64x2.extract_lane 0
    local.get 52
    f64x2.extract_lane 1
    f64.add
    local.get 53
    f64x2.extract_lane 0
    local.get 53
    f64x2.extract_lane 1
    f64.add
    f64.add
    local.get 54
    f64x2.extract_lane 0
    local.get 54
    f64x2.extract_lane 1
    f64.add
    local.get 55
    f64x2.extract_lane 0
    local.get 55
    f64x2.extract_lane 1
    f64.add
    f64.add
  )
  (func $update (export "update") (param i32 i32 i32 i32 i32 i32 i32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32)
    (local v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 i32 i32 i32 v128 v128 v128 v128)
    local.get 7
    f32x4.splat
    local.set 18
    local.get 8
    f32x4.splat
    local.set 21
    local.get 9
    f32x4.splat
    local.set 24
    local.get 10
    f32x4.splat
    local.set 27
    local.get 11
    f32x4.splat
    local.set 29
    local.get 12
    f32x4.splat
    local.set 32
    local.get 13
    f32x4.splat
    local.set 37
    local.get 14
    f32x4.splat
    local.set 39
    local.get 15
    f32x4.splat
    local.set 42
    local.get 16
    f32x4.splat
    local.set 45
    local.get 1
    local.get 6
    i32.const 2
    i32.shl
    i32.add
    local.set 48
    local.get 48
    local.get 48
    local.get 1
    i32.sub
    i32.const 63
    i32.and
    i32.sub
    local.set 49
    block
      local.get 1
      local.get 49
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load align=4
        local.set 20
        local.get 2
        v128.load align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 45
        local.get 44
        f32x4.mul
        local.set 46
        local.get 20
        local.get 46
        f32x4.sub
        local.set 47
        local.get 0
        local.get 47
        v128.store align=4
        local.get 2
        local.get 26
        v128.store align=4
        local.get 3
        local.get 35
        v128.store align=4
        local.get 1
        v128.load offset=16 align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load offset=16 align=4
        local.set 20
        local.get 2
        v128.load offset=16 align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load offset=16 align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 45
        local.get 44
        f32x4.mul
        local.set 46
        local.get 20
        local.get 46
        f32x4.sub
        local.set 47
        local.get 0
        local.get 47
        v128.store offset=16 align=4
        local.get 2
        local.get 26
        v128.store offset=16 align=4
        local.get 3
        local.get 35
        v128.store offset=16 align=4
        local.get 1
        v128.load offset=32 align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load offset=32 align=4
        local.set 20
        local.get 2
        v128.load offset=32 align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load offset=32 align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 45
        local.get 44
        f32x4.mul
        local.set 46
        local.get 20
        local.get 46
        f32x4.sub
        local.set 47
        local.get 0
        local.get 47
        v128.store offset=32 align=4
        local.get 2
        local.get 26
        v128.store offset=32 align=4
        local.get 3
        local.get 35
        v128.store offset=32 align=4
        local.get 1
        v128.load offset=48 align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load offset=48 align=4
        local.set 20
        local.get 2
        v128.load offset=48 align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load offset=48 align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 45
        local.get 44
        f32x4.mul
        local.set 46
        local.get 20
        local.get 46
        f32x4.sub
        local.set 47
        local.get 0
        local.get 47
        v128.store offset=48 align=4
        local.get 2
        local.get 26
        v128.store offset=48 align=4
        local.get 3
        local.get 35
        v128.store offset=48 align=4
        local.get 1
        i32.const 64
        i32.add
        local.set 1
        local.get 0
        i32.const 64
        i32.add
        local.set 0
        local.get 2
        i32.const 64
        i32.add
        local.set 2
        local.get 3
        i32.const 64
        i32.add
        local.set 3
        local.get 1
        local.get 49
        i32.lt_u
        br_if 0
      end
    end
    local.get 48
    local.get 48
    local.get 1
    i32.sub
    i32.const 15
    i32.and
    i32.sub
    local.set 49
    block
      local.get 1
      local.get 49
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load align=4
        local.set 20
        local.get 2
        v128.load align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 45
        local.get 44
        f32x4.mul
        local.set 46
        local.get 20
        local.get 46
        f32x4.sub
        local.set 47
        local.get 0
        local.get 47
        v128.store align=4
        local.get 2
        local.get 26
        v128.store align=4
        local.get 3
        local.get 35
        v128.store align=4
        local.get 1
        i32.const 16
        i32.add
        local.set 1
        local.get 0
        i32.const 16
        i32.add
        local.set 0
        local.get 2
        i32.const 16
        i32.add
        local.set 2
        local.get 3
        i32.const 16
        i32.add
        local.set 3
        local.get 1
        local.get 49
        i32.lt_u
        br_if 0
      end
    end
    block
      local.get 1
      local.get 48
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load32_splat align=4
        local.set 17
        local.get 17
        local.get 18
        f32x4.mul
        local.set 19
        local.get 0
        v128.load32_splat align=4
        local.set 20
        local.get 2
        v128.load32_splat align=4
        local.set 22
        local.get 21
        local.get 22
        f32x4.mul
        local.set 23
        local.get 24
        local.get 19
        f32x4.mul
        local.set 25
        local.get 23
        local.get 25
        f32x4.add
        local.set 26
        local.get 26
        local.get 27
        f32x4.mul
        local.set 28
        local.get 3
        v128.load32_splat align=4
        local.set 30
        local.get 29
        local.get 30
        f32x4.mul
        local.set 31
        local.get 19
        local.get 19
        f32x4.mul
        local.set 33
        local.get 32
        local.get 33
        f32x4.mul
        local.set 34
        local.get 31
        local.get 34
        f32x4.add
        local.set 35
        local.get 35
        f32x4.sqrt
        local.set 36
        local.get 36
        local.get 37
        f32x4.mul
        local.set 38
        local.get 38
        local.get 39
        f32x4.add
        local.set 40
        local.get 28
        local.get 40
        f32x4.div
        local.set 41
        local.get 42
        local.get 20
        f32x4.mul
        local.set 43
        local.get 41
        local.get 43
        f32x4.add
        local.set 44
        local.get 45
        local.get 44
        f32x4.mul
        local.set 46
        local.get 20
        local.get 46
        f32x4.sub
        local.set 47
        local.get 0
        local.get 47
        v128.store32_lane align=4 0
        local.get 2
        local.get 26
        v128.store32_lane align=4 0
        local.get 3
        local.get 35
        v128.store32_lane align=4 0
        local.get 1
        i32.const 4
        i32.add
        local.set 1
        local.get 0
        i32.const 4
        i32.add
        local.set 0
        local.get 2
        i32.const 4
        i32.add
        local.set 2
        local.get 3
        i32.const 4
        i32.add
        local.set 3
        local.get 1
        local.get 48
        i32.lt_u
        br_if 0
      end
    end
  )
)
