# Draws bytes per second against the size of the tensor: gnuplot -e "data='sizes.txt'; picture='sizes.svg'" sizes.gp
set terminal svg size 860,480 background rgb 'white' font 'sans,13'
set output picture
set logscale x 2
set xtics ('8 KiB' 2**13, '32 KiB' 2**15, '128 KiB' 2**17, '512 KiB' 2**19, '2 MiB' 2**21, '8 MiB' 2**23, \
  '32 MiB' 2**25, '128 MiB' 2**27)
set yrange [0:*]
set grid ytics
set key top right
set xlabel 'size of the tensor (half, float, 64 features)'
set ylabel 'GB/s read and written'
plot data using 1:2 with linespoints lw 2 lc rgb '#1f77b4' title 'rotate in place', \
  data using 1:3 with lines lw 2 dt 2 lc rgb '#1f77b4' title 'x *= a (S)', \
  data using 1:4 with linespoints lw 2 lc rgb '#d62728' title 'rotate into another tensor', \
  data using 1:5 with lines lw 2 dt 2 lc rgb '#d62728' title 'memcpy (M)'
